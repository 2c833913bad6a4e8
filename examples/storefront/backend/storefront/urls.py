"""The API's paths."""

from django.urls import path

from storefront.shop import views

urlpatterns = [
    path("api/health", views.health),
    path("api/products", views.products),
    path("api/orders", views.orders),
    path("api/orders/<int:number>", views.order),
    path("api/orders/pack", views.pack),
]
