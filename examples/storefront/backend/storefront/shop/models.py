"""Products and orders."""

from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=80, unique=True)
    cents = models.PositiveIntegerField()


class Order(models.Model):
    PLACED, PACKED = "placed", "packed"

    created = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=8, default=PLACED, db_index=True)


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    pieces = models.PositiveSmallIntegerField()
