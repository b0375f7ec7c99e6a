"""The OpenAPI 3.1 document: every route that is served, and every answer it can give."""

from gateway.api.openapi.document import document as document
