"""``sordino admin bucket policy``: who else may use a bucket, and who may not."""

import typer

from sordino.cli.admin_policy import Document, print_document, read_document
from sordino.cli.administer import Yes, administer, confirm
from sordino.cli.operate import BucketName, Data

bucket_policy_app = typer.Typer(
    help="The policy of a bucket: who else may use it, and who may not. The service must be running.",
    no_args_is_help=True,
)


@bucket_policy_app.command("put")
def put_bucket_policy(bucket: BucketName, file: Document, data: Data = None) -> None:
    """Give a bucket a policy, in place of the one that it has. It holds for the next call."""
    document = read_document(file)
    administer(data, lambda it, operator: it.bucket_policies.operate(operator, bucket, document))


@bucket_policy_app.command("show")
def show_bucket_policy(bucket: BucketName, data: Data = None) -> None:
    """Print the policy of a bucket."""
    print_document(administer(data, lambda it, _: it.bucket_policies.get(bucket)))


@bucket_policy_app.command("remove")
def remove_bucket_policy(bucket: BucketName, yes: Yes = False, data: Data = None) -> None:
    """Remove the policy of a bucket, which its account and that one's users then have to themselves."""
    confirm(f"Remove the policy of {bucket}?", yes=yes)
    administer(data, lambda it, operator: it.bucket_policies.operate(operator, bucket, None))
