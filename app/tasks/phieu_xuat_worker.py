"""The worker of goods issues: `celery -A app.main.celery_app worker -Q phieu_xuat_queue`."""

from app.documents import PHIEU_XUAT
from app.tasks.delivering import delivery_task

process_phieu_xuat = delivery_task(PHIEU_XUAT)
