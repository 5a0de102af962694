"""The console: server-rendered pages over the same services as the command line.

To add a page:

1. a module in `app/web/pages/` with a `router`, and an `Area` where it belongs into the navigation;
2. its routes: plain `def` (they run in threads, so they may wait for the database), with a parameter
   `page: Page = requires(Role.…)` or `public()`; `create_app` refuses a route that does not say who may use it;
3. a template that extends `base.html`, shown with `page.render("name.html", …)`; changes are forms with
   `{{ csrf_field() }}` and end in `page.redirect(…)`;
4. the module in `AREAS` of `app/web/pages/__init__.py`, its sentences in `locale/vi/LC_MESSAGES/messages.po`.
"""

from app.web.application import create_app

__all__ = ["create_app"]
