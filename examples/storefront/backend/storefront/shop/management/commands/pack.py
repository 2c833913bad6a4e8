"""The worker: packs orders one by one, by way of the API."""

import json
import os
import time
import urllib.error
import urllib.request

from django.core.management.base import BaseCommand

PAUSE = 0.5


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options):
        backend = os.environ.get("BACKEND_URL", "http://127.0.0.1:8000")
        self.stdout.write(f"packing what {backend} takes")
        while True:
            number = self.pack(f"{backend}/api/orders/pack")
            if number is None:
                time.sleep(PAUSE)
            else:
                self.stdout.write(f"packed order {number}")

    def pack(self, url):
        try:
            with urllib.request.urlopen(url, data=b"", timeout=10) as answer:
                return json.load(answer)["packed"]
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            self.stderr.write(f"the API does not answer: {error}")
            return None
