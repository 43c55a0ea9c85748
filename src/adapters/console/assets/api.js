// Talks to the daemon: requests with the token, and the stream of findings and decisions.

const TOKEN = 'tripline.token';
const WAIT_MS_MAX = 8000;
/** The longest event of the stream that is waited for. Unit: characters. */
const EVENT_CHARS_MAX = 1 << 20;

/** The longest silence of the stream; the daemon says something each 15 s. */
const QUIET_MS_MAX = 50_000;

/** What the daemon answered instead of what was asked. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(title);
    this.status = status;
    this.title = title;
    this.detail = detail;
  }

  get asksForToken() {
    return this.status === 401 || this.status === 403;
  }

  get words() {
    return this.detail ? `${this.title}: ${this.detail}` : this.title;
  }
}

export const token = () => sessionStorage.getItem(TOKEN);

export function setToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

/** Removes `#token=…` from the address at once, and takes it if `mayTake`. */
export function takeTokenOfAddress(mayTake) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const given = parts.get('token');
  if (given === null) return;
  parts.delete('token');
  const rest = parts.toString();
  history.replaceState(null, '', location.pathname + (rest ? `#${rest}` : ''));
  if (given && mayTake) setToken(given);
}

function headers(more) {
  const held = token();
  return held ? { Authorization: `Bearer ${held}`, ...more } : { ...more };
}

async function problemOf(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // It is no problem document; the status has to do.
  }
  return new Problem(answer.status, said.title ?? `the daemon answered ${answer.status}`, said.detail ?? '');
}

/** Asks, and gives the JSON of the answer; throws a `Problem`, or what `fetch` throws. */
export async function ask(path, { body, signal } = {}) {
  const waits = AbortSignal.timeout(WAIT_MS_MAX);
  const answer = await fetch(path, {
    method: body ? 'POST' : 'GET',
    headers: headers(body && { 'Content-Type': 'application/json' }),
    body: body && JSON.stringify(body),
    signal: signal ? AbortSignal.any([signal, waits]) : waits,
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

export const pathOf = (name) => `/v1/credentials/${encodeURIComponent(name)}`;
export const of = (name) => `credential=${encodeURIComponent(name)}`;

/** Listens until the stream ends. Server-sent events by hand, as `EventSource` sends no token. */
export async function listen({ opened, heard, signal }) {
  const answer = await fetch('/v1/stream', {
    headers: headers({ Accept: 'text/event-stream' }), signal,
    cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer',
  });
  if (!answer.ok) throw await problemOf(answer);
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    // A stream that is dead does not say so: one that is silent for longer than its keep-alive ends.
    const quiet = setTimeout(() => reader.cancel().catch(() => {}), QUIET_MS_MAX);
    const { value, done } = await reader.read().finally(() => clearTimeout(quiet));
    if (done) return;
    rest += value.replaceAll('\r', '');
    const events = rest.split('\n\n');
    rest = events.pop();
    if (rest.length > EVENT_CHARS_MAX) {
      await reader.cancel();
      throw new Error('an event of the stream is too long');
    }
    for (const event of events) dispatch(event, heard);
  }
}

function dispatch(event, heard) {
  let kind = 'message';
  const data = [];
  for (const line of event.split('\n')) {
    if (line.startsWith('event:')) kind = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
  }
  if (data.length === 0) return;
  try {
    heard(kind, JSON.parse(data.join('\n')));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}
