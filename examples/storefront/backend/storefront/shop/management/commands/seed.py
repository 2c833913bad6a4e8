"""Fills an empty shop; does nothing to one that has products."""

from django.core.management.base import BaseCommand

from storefront.shop.models import Product

PRODUCTS = {"Teapot": 3400, "Cup": 900, "Saucer": 600, "Tin of Assam": 1250}


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options):
        if Product.objects.exists():
            return
        Product.objects.bulk_create(
            Product(name=name, cents=cents) for name, cents in PRODUCTS.items()
        )
        self.stdout.write(f"{len(PRODUCTS)} products")
