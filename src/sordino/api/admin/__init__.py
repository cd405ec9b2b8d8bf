"""The admin API: what ``sordino admin`` does, over HTTP, in JSON, for bearers of tokens. Ours, and of no SDK."""
