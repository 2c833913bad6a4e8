/** Asks the API; an error has the API's own words. */
export async function ask(path, body) {
  const answer = await fetch(`/api${path}`, body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `the shop answers ${answer.status}`);
  return said;
}

export const price = (cents) => `${(cents / 100).toFixed(2)} €`;
