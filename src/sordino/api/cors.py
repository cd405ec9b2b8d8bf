"""Cross-origin sharing: the calls that set its rules, preflights, and the headers of replies to web pages.

https://cloud.tencent.com/document/product/436 ("PUT Bucket cors", "GET Bucket cors", "DELETE Bucket cors",
"OPTIONS Object")
"""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from sordino import errors
from sordino.api.call import Call, xml
from sordino.domain.cors import Cors, CorsRule, matches_any
from sordino.wire.cors import ROOT, parse_cors, render_cors
from sordino.wire.words import comma_list, quote

PREFLIGHT = "OPTIONS"
ANY = "*"


async def put_bucket_cors(call: Call) -> Response:
    """``PUT /?cors``."""
    bucket = call.bucket()
    await call.services.sharing.set_cors(bucket, parse_cors(await call.cos_document(ROOT)))
    return Response(status_code=200)


async def get_bucket_cors(call: Call) -> Response:
    """``GET /?cors``."""
    return xml(render_cors(await call.services.sharing.cors_of(call.bucket())))


async def delete_bucket_cors(call: Call) -> Response:
    """``DELETE /?cors``; 204 also when there were none."""
    await call.services.sharing.set_cors(call.bucket(), None)
    return Response(status_code=204)


def preflight(request: Request, cors: Cors) -> Response:
    """``OPTIONS`` of any address, which a browser sends, unsigned, before what a page asks for.

    Raises:
        ServiceError: InvalidArgument for what is no preflight, AccessForbidden when no rule allows the request.
    """
    origin, method = (request.headers.get(name) for name in ("origin", "access-control-request-method"))
    if not origin or not method:
        raise errors.INVALID_ARGUMENT(
            "OPTIONS answers browsers that ask before a request: send Origin and Access-Control-Request-Method."
        )
    asked = comma_list(request.headers.get("access-control-request-headers", ""))
    rule = cors.rule_for(origin, method, asked)
    if rule is None:
        raise errors.ACCESS_FORBIDDEN(
            f"CORSResponse: No CORS rule allows {quote(method)} with these headers from pages of {quote(origin)}; "
            "put one with PUT /?cors, or have the operator set SORDINO_CORS_ORIGINS.",
            {"Vary": "Origin"},
        )
    return Response(status_code=200, headers=_permission(rule, origin, rule.exposed) | _terms(rule, asked))


def show_to_page(response: Response, request: Request, cors: Cors) -> None:
    """Add to a reply what lets a browser show it to the page that asked, if a rule allows that."""
    origin = request.headers.get("origin")
    if not (origin and cors.rules):
        return
    response.headers["Vary"] = "Origin"
    rule = cors.rule_for(origin, request.method)
    if rule is not None:
        response.headers.update(_permission(rule, origin, _exposed(rule, response.headers)))


def _permission(rule: CorsRule, origin: str, exposed: Iterable[str]) -> dict[str, str]:
    """The headers of preflights and of replies alike. No page is given leave to send cookies: none are read here."""
    shown = ", ".join(exposed)
    return {
        "Access-Control-Allow-Origin": ANY if ANY in rule.origins else origin,
        **({"Access-Control-Expose-Headers": shown} if shown else {}),
        "Vary": "Origin",
    }


def _exposed(rule: CorsRule, names: Iterable[str]) -> list[str]:
    """The headers of a reply that a page sees, each by its name: browsers know no other * than one alone."""
    return sorted({name for name in names if matches_any(rule.exposed, name)})


def _terms(rule: CorsRule, asked: Iterable[str]) -> dict[str, str]:
    """What a browser may send, each header by its name: a * would not cover Authorization."""
    headers = ", ".join(asked)
    return {
        "Access-Control-Allow-Methods": ", ".join(rule.methods),
        **({"Access-Control-Allow-Headers": headers} if headers else {}),
        **({} if rule.max_age is None else {"Access-Control-Max-Age": str(rule.max_age)}),
    }
