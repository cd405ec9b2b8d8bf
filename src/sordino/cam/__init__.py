"""The use cases of who may do what: accounts, users, groups, keys, policies and roles."""
