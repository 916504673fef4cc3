"""What the pages that are served share: the frame around them, and the report's own style."""

from collections.abc import Iterable

from dash import Dash
from flask import Response

from gradiometer.showing.page_frame import TEMPLATE

FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{head}
<title>{{%title%}}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/report.css">
{{%css%}}
</head>
<body>
{{%app_entry%}}
{footer}
{{%config%}}
{{%scripts%}}
{{%renderer%}}
</body>
</html>
"""


def served_frame(*, head: str = "", footer: str = "") -> str:
    """The page around an application, as Dash fills it in.

    Args:
        head: Further elements of its head, as HTML.
        footer: What stands below the application, as HTML.
    """
    return FRAME.format(head=head, footer=footer)


def add_style(application: Dash) -> None:
    """Serve the report's own style at `/report.css`: one look for all pages."""

    def style() -> Response:
        """The style that stands in the report's template."""
        text = TEMPLATE.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
        return Response(text, mimetype="text/css")

    application.server.add_url_rule("/report.css", "gradiometer style", style)


def script_hashes(application: Dash) -> Iterable[str]:
    """Hashes of the scripts that Dash writes into its page, for the content security policy."""
    hashes: Iterable[str] = application.csp_hashes()
    return hashes
