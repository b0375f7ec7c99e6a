// What every page looks like; the pages differ in the hooks that say what is shown.
import { createRoot } from 'react-dom/client';

export function Team({ name, plan, seat, left, allowed, buy, addSeat, use, children }) {
  return (
    <main>
      <h1>{name ?? 'Loading'}</h1>
      {plan && <p>{plan}</p>}
      <button onClick={buy}>Buy the team plan</button>
      <button onClick={addSeat}>Add a seat</button>
      <button onClick={use}>Use 10</button>
      {seat && <h2>{seat}</h2>}
      {left !== undefined && <p>{left} left</p>}
      {seat && <p>{allowed ? 'User has access to AI messages' : 'No access to AI messages'}</p>}
      {children}
    </main>
  );
}

export function show(page) {
  createRoot(document.getElementById('page')).render(page);
}
