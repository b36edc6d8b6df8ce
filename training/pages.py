"""What pages to listen to share: a whole HTML file that needs nothing but its neighbours.

Reads and writes nothing. Does: lays a body out; every other word is escaped.
"""

import html


def laid(title: str, lead: str, body: str, style: str = "", script: str = "") -> str:
    """`title` and `lead` are plain text; `body`, `style` and `script` are HTML, CSS, JavaScript."""
    return _PAGE.format(
        title=html.escape(title),
        lead=html.escape(lead),
        body=body,
        style=style,
        script=f"<script>\n{script}</script>\n" if script else "",
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }}
{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{lead}</p>
{body}
{script}</body>
</html>
"""
