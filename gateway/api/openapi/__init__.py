"""The OpenAPI 3.1 document: every route that is served, and every answer it can give.

``document`` puts it together from the ``parameters``, ``answers`` and ``links`` of each operation,
what ``limits`` its fields, and the ``rest`` routes.
"""

from gateway.api.openapi.document import document as document
