import { createRoot } from "react-dom/client";
import { Shop } from "./shop.jsx";
import { Order } from "./order.jsx";
import "./style.css";

// Two kinds of pages need no router: the server answers every path with this program.
const order = window.location.pathname.match(/^\/orders\/(\d+)$/);
createRoot(document.getElementById("root")).render(
  <main>
    <h1><a href="/">Storefront</a></h1>
    {order ? <Order number={order[1]} /> : <Shop />}
  </main>,
);
