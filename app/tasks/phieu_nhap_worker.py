"""The worker of goods receipts: `celery -A app.main.celery_app worker -Q phieu_nhap_queue`."""

from app.documents import PHIEU_NHAP
from app.tasks.delivering import delivery_task

process_phieu_nhap = delivery_task(PHIEU_NHAP)
