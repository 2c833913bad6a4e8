"""The API, from order to packing."""

import json

from django.core.management import call_command
from django.test import TestCase

from .models import Product


class Orders(TestCase):
    def setUp(self):
        call_command("seed", stdout=open("/dev/null", "w"))

    def place(self, body):
        return self.client.post("/api/orders", json.dumps(body), content_type="application/json")

    def test_an_order_is_placed_and_packed_once(self):
        cup = Product.objects.get(name="Cup")
        placed = self.place({"pieces": {cup.pk: 2}})
        self.assertEqual(placed.status_code, 201)
        self.assertEqual(placed.json()["cents"], 1800)
        number = placed.json()["number"]
        self.assertEqual(self.client.post("/api/orders/pack").json(), {"packed": number})
        self.assertEqual(self.client.post("/api/orders/pack").json(), {"packed": None})
        self.assertEqual(self.client.get(f"/api/orders/{number}").json()["state"], "packed")

    def test_what_is_no_order_is_refused_in_words(self):
        for body in [{}, {"pieces": {}}, {"pieces": {"1": 0}}, {"pieces": {"999": 1}}, []]:
            self.assertEqual(self.place(body).status_code, 400, body)

    def test_seeding_twice_changes_nothing(self):
        before = Product.objects.count()
        call_command("seed")
        self.assertEqual(Product.objects.count(), before)
