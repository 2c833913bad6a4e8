import { useEffect, useState } from "react";
import { ask, price } from "./api.js";

export function Order({ number }) {
  const [order, setOrder] = useState(null);
  const [error, setError] = useState("");

  useEffect(() => {
    const look = () => ask(`/orders/${number}`).then(setOrder, (error) => setError(error.message));
    look();
    const timer = setInterval(look, 1000);
    return () => clearInterval(timer);
  }, [number]);

  if (error) return <p role="alert">{error}</p>;
  if (!order) return <p>…</p>;
  return (
    <>
      <h2>Order {order.number}: <strong id="state">{order.state}</strong></h2>
      <ul>
        {order.lines.map(({ name, pieces, cents }) => (
          <li key={name}>{pieces} × {name} <span>{price(pieces * cents)}</span></li>
        ))}
      </ul>
      <p>{price(order.cents)} in all</p>
    </>
  );
}
