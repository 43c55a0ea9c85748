// Middleware for Connect, Express and plain `http` that sends tripline one auth event for each request with a
// credential. The request path only appends to a bounded queue. See integrations/README.md.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const BATCH_MAX = 1_000, BATCH_BYTES_MAX = 1 << 20, BATCH_WAIT_MS = 200;
const WAIT_MAX_MS = 30_000, TIMEOUT_MS = 10_000, TEXT_MAX = 1_024, EVENT_BYTES_MAX = 32_768;
const FIELDS = ['credential', 'secret', 'api_key', 'kind', 'tenant', 'subject', 'family', 'outcome', 'verified',
  'reason', 'model', 'tokens', 'spend', 'expires', 'issued', 'id', 'asn', 'country'];

/** A middleware `(req, res, next?)` with `close()` and the counters `sent`, `refused`, `dropped`, `retries`. */
export function tripline({
  url = 'http://127.0.0.1:7878', source, token = process.env.TRIPLINE_TOKEN, caFile, identify, header,
  verified, proxies = 0, queueMax = 10_000, closeTimeoutMs = 5_000, warn = (text) => console.warn(`tripline: ${text}`),
} = {}) {
  const base = new URL(url), isTls = base.protocol === 'https:';
  const takesSecrets = Boolean(source) && (isTls || ['localhost', '127.0.0.1', '[::1]'].includes(base.hostname));
  if (!identify && !takesSecrets) {
    throw new Error('without identify tripline gets the secret: name a source, and use https or loopback');
  }
  const client = isTls ? https : http;
  const agent = new client.Agent({ keepAlive: true, maxSockets: 1, ...(caFile && { ca: readFileSync(caFile) }) });
  const path = base.pathname.replace(/\/+$/, '') + (source ? `/v1/sources/${source}/events` : '/v1/events');
  const fixed = { 'content-type': 'application/x-ndjson', ...(token && { authorization: `Bearer ${token}` }) };
  const queue = [], warned = {}, counts = { sent: 0, refused: 0, dropped: 0, retries: 0 };
  let timer, running, wake, limit, deadline = Infinity;

  function count(name, by, why) {
    counts[name] += by;
    if (!(Date.now() - warned[name] < 60_000)) {
      warned[name] = Date.now();
      try { warn(`${name}: ${counts[name]} so far, now ${why}`); } catch { /* The application's own. */ }
    }
  }

  function record(req, res, began, peer) {
    const given = { ...(identify ? identify(req, res) : secretOf(req, header)), ...req.tripline };
    const has = (key) => given[key] !== undefined && given[key] !== null && given[key] !== '';
    const event = Object.fromEntries(FIELDS.filter(has).map((key) => [key, given[key]]));
    if ('credential' in event) { delete event.secret; delete event.api_key; }
    else if (!('secret' in event || 'api_key' in event)) return;
    else if (!takesSecrets) return count('dropped', 1, 'this url or source is not for secrets');
    const status = res.headersSent ? res.statusCode : undefined;
    const route = typeof req.route?.path === 'string' ? (req.baseUrl ?? '') + req.route.path : undefined;
    const path = (req.originalUrl ?? req.url).split(/[?#]/, 1)[0];
    const hops = String(req.headers['x-forwarded-for'] ?? '').split(',').map((hop) => hop.trim()).filter(Boolean);
    hops.push(peer);
    // The rule of tripline's native format, unless the application knows better.
    const proven = status >= 200 && status < 300 && req.method !== 'OPTIONS';
    Object.assign(event, {
      time: began.toISOString(), status, method: req.method.slice(0, 32),
      verified: Boolean(event.verified ?? verified?.(req, status) ?? proven),
      endpoint: (route ?? path).slice(0, TEXT_MAX),
      user_agent: String(req.headers['user-agent'] ?? '').slice(0, TEXT_MAX),
      // With fewer hops than proxies, all but the peer may be the client's invention.
      ip: hops.at(hops.length > proxies ? -1 - proxies : -1)?.slice(0, TEXT_MAX),
    });
    const line = JSON.stringify(event);
    if (queue.length >= queueMax || line.length > EVENT_BYTES_MAX || deadline < Infinity) {
      return count('dropped', 1, 'the queue is full or closed, or an event too large');
    }
    queue.push(line);
    timer ??= setTimeout(run, BATCH_WAIT_MS).unref();
  }

  /** Sends all that is queued. `timer` stays set until the queue is empty, so there is one run at a time. */
  function run() {
    clearTimeout(timer);
    return running ??= drain().finally(() => { running = timer = undefined; });
  }

  async function drain() {
    while (queue.length && Date.now() < deadline) {
      let size = 0, lines = 0;
      while (lines < Math.min(queue.length, BATCH_MAX) && size < BATCH_BYTES_MAX) size += queue[lines++].length;
      await deliver(queue.splice(0, lines).join('\n'), lines);
    }
  }

  async function deliver(body, lines) {
    // The same key with each retry, so that events whose answer was lost count once.
    const headers = { ...fixed, 'idempotency-key': randomUUID(), 'content-length': Buffer.byteLength(body) };
    for (let backoff = 250; Date.now() < deadline; backoff = Math.min(backoff * 2, WAIT_MAX_MS)) {
      const { status, after, answer } = await post(body, headers).catch(({ name, code }) => ({ status: `${name} ${code}` }));
      if (status >= 200 && status < 300) {
        const refused = Number(answer.refused ?? 0);
        counts.sent += lines - refused;
        const reasons = new Set([answer.lines ?? []].flat().map((line) => line?.reason));
        return refused && count('refused', refused, [...reasons].join(', '));
      }
      if (status !== 429 && status < 500) {
        return count('refused', lines, `${status} ${answer.title ?? ''}`.slice(0, 200));
      }
      count('retries', 1, `${status}`);
      const asked = status === 429 ? Number(after) * 1_000 : NaN;
      const wait = asked >= 0 ? asked : backoff * (0.5 + Math.random() / 2);
      // While it closes, little time is left, so waits are short.
      await pause(Math.min(wait, deadline < Infinity ? 100 : WAIT_MAX_MS));
    }
    return count('dropped', lines, 'tripline took no more before the end');
  }

  const pause = (ms) => new Promise((resolve) => {
    setTimeout(wake = resolve, ms)[deadline < Infinity ? 'ref' : 'unref']();
  });

  const post = (body, headers) => new Promise((resolve, failed) => {
    const options = { method: 'POST', agent, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
    client.request(new URL(path, base), options, (response) => {
      let text = '', answer;
      response.on('data', (chunk) => { text += chunk; }).on('error', failed).on('end', () => {
        try { answer = JSON.parse(text); } catch { /* Of a proxy, say. */ }
        resolve({ status: response.statusCode, after: response.headers['retry-after'], answer: answer ?? {} });
      });
    }).on('error', failed).end(body);
  });

  /** Sends the rest of the queue, for so long at most. */
  async function close(timeoutMs = closeTimeoutMs) {
    if (deadline < Infinity) return;
    deadline = Date.now() + timeoutMs;
    wake?.();
    const late = new Promise((resolve) => { limit = setTimeout(resolve, timeoutMs); });
    await Promise.race([late, Promise.resolve(running).then(run)]);
    clearTimeout(limit);
    agent.destroy();
    await running;
    if (queue.length) count('dropped', queue.length, 'tripline took no more before the end');
  }

  function middleware(req, res, next) {
    const began = new Date(), peer = req.socket?.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '');
    res.once('close', () => { // An event that can't be made must not fail the request.
      try { record(req, res, began, peer); } catch (error) { count('dropped', 1, error?.name); }
    });
    next?.();
  }
  for (const name of Object.keys(counts)) Object.defineProperty(middleware, name, { get: () => counts[name] });
  return Object.assign(middleware, { close });
}
function secretOf(req, header) {
  const [, bearer] = /^bearer\s+(\S.*)$/i.exec(req.headers.authorization ?? '') ?? [];
  const secret = header === 'x-api-key' ? undefined : bearer?.trim();
  const key = header === 'authorization' ? undefined : req.headers['x-api-key']?.trim();
  return { secret, api_key: key };
}
