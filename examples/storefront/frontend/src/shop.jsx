import { useEffect, useState } from "react";
import { ask, price } from "./api.js";

export function Shop() {
  const [products, setProducts] = useState([]);
  const [pieces, setPieces] = useState({});
  const [error, setError] = useState("");

  useEffect(() => {
    ask("/products").then(({ products }) => setProducts(products), (error) => setError(error.message));
  }, []);

  const change = (id, by) =>
    setPieces((now) => {
      const next = { ...now, [id]: Math.min(99, Math.max(0, (now[id] ?? 0) + by)) };
      if (!next[id]) delete next[id];
      return next;
    });
  const total = products.reduce((sum, { id, cents }) => sum + (pieces[id] ?? 0) * cents, 0);
  const place = () =>
    ask("/orders", { pieces }).then(
      ({ number }) => window.location.assign(`/orders/${number}`),
      (error) => setError(error.message),
    );

  return (
    <>
      <ul>
        {products.map(({ id, name, cents }) => (
          <li key={id}>
            <span>{name}</span> <span>{price(cents)}</span>
            <button onClick={() => change(id, -1)} aria-label={`one ${name} less`}>−</button>
            <output>{pieces[id] ?? 0}</output>
            <button onClick={() => change(id, 1)} aria-label={`one ${name} more`}>+</button>
          </li>
        ))}
      </ul>
      {error && <p role="alert">{error}</p>}
      <button id="order" disabled={total === 0} onClick={place}>Order for {price(total)}</button>
    </>
  );
}
