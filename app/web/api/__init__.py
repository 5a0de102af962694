"""The JSON API, `/api/v1/…`: a third face of the same services, beside the command line and the pages.

To add an operation:

1. a function in the module it belongs to, plain `def` (they run in threads), with a parameter
   `caller: Caller = needs(Role.…)`; `create_api` refuses a route that does not say who may use it;
2. what it takes and gives as models of `shapes.py`, every field described; what it refuses as a `Refusal`, with the
   statuses in `refuses(…)`. Its name is its operationId, which programs hold on to: it never changes;
3. its row in the matrix of `tests/integration/test_api.py`, and the reference written anew:
   `python -m tests.unit.test_api_reference`.
"""

from app.web.api.application import create_api
from app.web.api.description import PREFIX

__all__ = ["PREFIX", "create_api"]
