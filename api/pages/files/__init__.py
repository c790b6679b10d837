"""The pages at `/fichiers`: upload a file of cars, follow its progress, use its results.

Importing the package registers its views.
"""

from api.pages.files import batch_views, draft_views, upload_views

__all__ = ["batch_views", "draft_views", "upload_views"]
