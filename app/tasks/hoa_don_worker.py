"""The worker of sales invoices: `celery -A app.main.celery_app worker -Q hoa_don_queue`."""

from app.documents import HOA_DON
from app.tasks.delivering import delivery_task

process_hoa_don = delivery_task(HOA_DON)
