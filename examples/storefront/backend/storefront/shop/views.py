"""The API: JSON in, JSON out."""

import json

from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .models import Line, Order, Product


@require_GET
def health(request):
    """Well where the database answers, since nothing works without it."""
    return JsonResponse({"products": Product.objects.count()})


@require_GET
def products(request):
    found = Product.objects.order_by("name").values("id", "name", "cents")
    return JsonResponse({"products": list(found)})


def as_json(order):
    lines = [
        {"name": line.product.name, "pieces": line.pieces, "cents": line.product.cents}
        for line in order.lines.select_related("product")
    ]
    total = sum(line["pieces"] * line["cents"] for line in lines)
    return {"number": order.pk, "state": order.state, "lines": lines, "cents": total}


def refused(why):
    return JsonResponse({"error": why}, status=400)


@require_http_methods(["GET", "POST"])
def orders(request):
    if request.method == "GET":
        newest = Order.objects.order_by("-pk")[:20]
        return JsonResponse({"orders": [as_json(order) for order in newest]})
    try:
        wanted = {
            int(product): int(pieces)
            for product, pieces in json.loads(request.body)["pieces"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return refused('an order looks like {"pieces": {"PRODUCT": NUMBER}}')
    if not wanted or not all(1 <= pieces <= 99 for pieces in wanted.values()):
        return refused("an order has from 1 to 99 pieces of each product")
    if Product.objects.filter(pk__in=wanted).count() != len(wanted):
        return refused("a product of this order is not sold here")
    with transaction.atomic():
        made = Order.objects.create()
        Line.objects.bulk_create(
            Line(order=made, product_id=product, pieces=pieces)
            for product, pieces in wanted.items()
        )
    return JsonResponse(as_json(made), status=201)


@require_GET
def order(request, number):
    found = Order.objects.filter(pk=number).first()
    if found is None:
        return JsonResponse({"error": f"there is no order {number}"}, status=404)
    return JsonResponse(as_json(found))


@require_POST
def pack(request):
    """Packs the order that has waited longest; the worker asks for it."""
    with transaction.atomic():
        waiting = Order.objects.filter(state=Order.PLACED).order_by("pk").first()
        # Of two workers that saw the same order one changes it.
        packed = (
            waiting
            and Order.objects.filter(pk=waiting.pk, state=Order.PLACED).update(
                state=Order.PACKED
            )
        )
    return JsonResponse({"packed": waiting.pk if packed else None})
