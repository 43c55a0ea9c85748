// The console: keeps the daemon's answers, polls, listens, and has the views show it.

import { ask, listen, pathOf, setToken, takeTokenOfAddress, token } from './api.js';
import { ageTimes, byId, clean, nameOf, say, setClock, show, span } from './dom.js';
import { group, showIncidents } from './incidents.js';
import { LISTED_MAX, learn, showOverview } from './overview.js';
import { showCredentials, startCredentials } from './credentials.js';
import { showTenants } from './tenants.js';
import { showApprovals, showDecisions } from './decisions.js';
import { openDetail, refreshDetail, shownName, startDetail } from './detail.js';
import { openOrder, startOrder } from './order.js';
import { startKeys } from './keys.js';
import { looksLikeSecret, nameOfJwt } from './secret.js';

const ROWS_MAX = 100;
const FINDINGS_MAX = 200;
const VISIBLE_MS = 1000;
const HIDDEN_MS = 10_000;
const BACK_OFF_MS_MAX = 15_000;

const model = { status: null, credentials: [], findings: [], decisions: [], approvals: [], tenants: { minute: null, requests: 0, tenants: [] }, incidents: [], faults: new Map() };
/** When each part is due to be asked for; news of the stream makes it due at once. */
const due = { credentials: 0, findings: 0, decisions: 0, approvals: 0, tenants: 0 };
const link = { failures: 0, stream: 'closed', answered: 0 };
let timer = 0;
let asking = false;
let signing = false;

const mayOperate = () => Boolean(model.status?.roles.includes('operate'));
const local = () => model.status?.account === 'local';

function whyNot() {
  if (local()) {
    return 'Read only. To order from this page, name a token with the role operate in [http.tokens] of the configuration; on the daemon’s machine “tripline credentials” orders without one.';
  }
  return `Read only: the token “${model.status?.account}” lacks the role operate. Sign out, then sign in with one that has it.`;
}

function announce(words) {
  byId('announce').textContent = clean(words);
}

// ---- asking

async function part(name, path, everyMs) {
  if (Date.now() < due[name]) return;
  const began = Date.now();
  due[name] = Infinity;
  try {
    model[name] = await ask(path);
    model.faults.delete(name);
    // A daemon that is slow to answer is asked less often: at most a tenth of its time. What came
    // due again meanwhile stays due.
    if (due[name] === Infinity) due[name] = Date.now() + Math.max(everyMs, 9 * (Date.now() - began));
  } catch (error) {
    due[name] = 0;
    tolerate(name, error);
  }
}

/** One part that can't be read is shown as a fault; that nobody answers, or no token fits, is more. */
function tolerate(name, error) {
  if (error.asksForToken || !error.status) throw error;
  model.faults.set(name, error.words);
}

async function askAll() {
  const status = await ask('/v1/status');
  if (model.status && model.status.started !== status.started) dueNow();
  model.status = status;
  setClock(status.now);
  learn(status);
  const live = link.stream === 'open';
  const waiting = model.decisions.slice(0, 20).some((one) => Object.values(one.stores ?? {}).includes('waiting'));
  await Promise.all([
    part('credentials', `/v1/credentials?limit=${LISTED_MAX}`, VISIBLE_MS - 200),
    part('findings', `/v1/findings?open=true&limit=${FINDINGS_MAX}`, live ? 5000 : 1500),
    part('decisions', `/v1/decisions?limit=${ROWS_MAX}`, live && !waiting ? 8000 : 1500),
    part('approvals', '/v1/approvals', status.approvals !== model.approvals.length ? 0 : 5000),
    part('tenants', '/v1/tenants', 5000),
    refreshDetail().then(() => model.faults.delete('detail'), (error) => tolerate('detail', error)),
  ]);
}

function dueNow() {
  for (const name of Object.keys(due)) due[name] = 0;
}

async function poll() {
  clearTimeout(timer);
  if (asking || signing) return;
  asking = true;
  try {
    await askAll();
    link.failures = 0;
    link.answered = Date.now();
    draw();
    if (link.stream === 'closed') hear();
  } catch (error) {
    if (error.asksForToken) askForToken(error);
    else link.failures += 1;
  }
  asking = false;
  showLink();
  const pace = document.hidden ? HIDDEN_MS : VISIBLE_MS;
  if (!signing) timer = setTimeout(poll, link.failures ? Math.min(BACK_OFF_MS_MAX, pace * 2 ** (link.failures - 1)) : pace);
}

/** Polls at once, after an order say. */
function soon() {
  dueNow();
  refreshDetail(true).catch(() => {});
  clearTimeout(timer);
  timer = setTimeout(poll, 100);
}

// ---- the stream

let ears = null;
let deaf = 0;

async function hear() {
  link.stream = 'opening';
  ears = new AbortController();
  const { signal } = ears;
  try {
    await listen({ opened: heardOpen, heard, signal });
  } catch (error) {
    if (error.asksForToken && !signal.aborted) askForToken(error);
  }
  if (signal.aborted) return;
  deaf += 1;
  link.stream = 'lost';
  showLink();
  setTimeout(() => { if (link.stream === 'lost') link.stream = 'closed'; }, Math.min(30_000, 1000 * 2 ** Math.min(deaf, 5)) * (0.7 + 0.6 * Math.random()));
}

function heardOpen() {
  link.stream = 'open';
  deaf = 0;
  dueNow();
  showLink();
}

function put(list, one, most) {
  const at = list.findIndex((other) => other.id === one.id);
  if (at >= 0) list[at] = { ...list[at], ...one };
  else list.unshift(one);
  if (list.length > most) list.length = most;
}

let drawing = false;

function heard(kind, news) {
  if (kind === 'missed') dueNow();
  else if (kind === 'finding') {
    if (news.closed) model.findings = model.findings.filter((one) => one.id !== news.id);
    else put(model.findings, news, FINDINGS_MAX);
  } else if (kind === 'decision') {
    put(model.decisions, news, ROWS_MAX);
    due.decisions = 0;
    due.approvals = 0;
    due.credentials = 0;
  } else return;
  if (!model.status || drawing) return;
  drawing = true;
  // A storm of news is drawn once in a while, not once each.
  setTimeout(() => {
    drawing = false;
    draw();
  }, 150);
}

// ---- showing

function draw() {
  if (signing || !model.status) return;
  model.incidents = group(model.findings);
  show(byId('board'), true);
  showOverview(model, link.failures > 1 ? 'away' : 'here');
  showIncidents(model, find, announce);
  showCredentials(model, find);
  showApprovals(model, { open: find, order: openOrder, mayOperate });
  showDecisions(model, find);
  showTenants(model);
  show(byId('read-only'), !mayOperate());
  say(byId('read-only'), mayOperate() ? '' : whyNot());
  show(byId('sign-out'), Boolean(token()));
  const suspect = model.incidents.filter((one) => one.action !== 'observe').length;
  const title = suspect ? `(${suspect}) tripline` : 'tripline';
  if (document.title !== title) document.title = title;
  ageTimes();
}

function showLink() {
  const away = link.failures > 1;
  const word = signing ? 'signed out' : link.failures ? 'reconnecting' : link.stream === 'open' ? 'live' : 'polling';
  byId('link').className = `link-state is-${word.replace(' ', '-')}`;
  byId('link').title = word === 'polling' ? 'The stream of news is not open; the page asks each second instead.' : '';
  say(byId('link-words'), word);
  const banner = byId('banner');
  show(banner, away && !signing);
  if (away) {
    const age = link.answered ? `The data shown is ${span(Date.now() - link.answered)} old.` : 'No data yet.';
    say(banner, `The daemon is unreachable; retrying. ${age}`);
    if (model.status) showOverview(model, 'away');
  }
}

// ---- finding a credential

function note(words, ...more) {
  byId('search-note').replaceChildren(words, ...more);
}

/** Opens a credential by a name that the daemon itself has said, or that a person typed. */
async function find(name, { typed = false, secret = false } = {}) {
  note('');
  try {
    const one = await ask(pathOf(name));
    if (typed) byId('search').value = '';
    openDetail(nameOf(one), one);
  } catch (error) {
    if (error.asksForToken) askForToken(error);
    else if (error.status !== 404) note(error.words ?? 'The daemon did not answer.');
    else if (secret) note('There is no profile for that secret.');
    else if (typed) offer(name);
    else openDetail(name, null);
  }
}

function button(text, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = clean(text);
  made.addEventListener('click', act);
  return made;
}

/** Orders on a credential that was never seen are possible, but only on purpose. */
function offer(typed) {
  const name = /^(api_key|jwt|session|refresh_token|agent_token):/.test(typed) ? typed : `api_key:${typed}`;
  note(`${name} has no profile. Name it kind:id; failed requests leave none. `,
    mayOperate() ? button('Open it anyway', () => { note(''); openDetail(name, null); }) : '');
}

function search() {
  const typed = byId('search').value.trim();
  if (!typed) return note('');
  if (!looksLikeSecret(typed)) return find(typed, { typed: true });
  byId('search').value = '';
  const jwt = nameOfJwt(typed);
  if (jwt) {
    note('That is a JWT. Only its jti was sent. ');
    return find(jwt, { typed: true });
  }
  note('That looks like a secret, so it was not sent. The daemon can turn it into its fingerprint; proxies on the way may log its path. ',
    button('Forget it', () => { note(''); byId('search').focus(); }), ' ', button('Send it to the daemon', () => find(typed, { typed: true, secret: true })));
  byId('search-note').querySelector('button').focus();
}

// ---- signing in

function askForToken(problem) {
  if (signing) return;
  signing = true;
  ears?.abort();
  link.stream = 'closed';
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  show(byId('board'), false);
  show(byId('sign'), true);
  show(byId('search-form'), false);
  const words = problem.words ?? '';
  const asks = problem.status === 401 ? 'This daemon requires a token with the role read.' : `${words}.`;
  say(byId('sign-why'), token() ? `The token was not accepted: ${words}.` : asks);
  byId('token').focus();
  showLink();
}

function signIn(event) {
  event.preventDefault();
  const given = byId('token').value.trim();
  byId('token').value = '';
  if (!given) return;
  setToken(given);
  resume();
}

function resume() {
  signing = false;
  link.failures = 0;
  deaf = 0;
  dueNow();
  show(byId('sign'), false);
  show(byId('search-form'), true);
  poll().then(() => { if (!signing) byId('main').focus({ preventScroll: true }); });
}

function signOut() {
  setToken(null);
  ears?.abort();
  link.stream = 'closed';
  Object.assign(model, { status: null, credentials: [], findings: [], decisions: [], approvals: [], incidents: [] });
  askForToken({ words: 'You are signed out' });
}

// ---- the start

function openOfAddress() {
  const name = new URLSearchParams(location.hash.slice(1)).get('c');
  if (name && name !== shownName() && !looksLikeSecret(name)) find(name);
}

takeTokenOfAddress(true);
startKeys();
startCredentials(() => { if (model.status) showCredentials(model, find); });
startOrder(soon);
startDetail({ order: openOrder, mayOperate, whyNot });
byId('search-form').addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});
byId('search').addEventListener('input', () => note(''));
byId('sign-form').addEventListener('submit', signIn);
byId('sign-out').addEventListener('click', signOut);
document.addEventListener('visibilitychange', () => { if (!document.hidden) poll(); });
addEventListener('hashchange', () => {
  // A link must not make somebody who is signed in act for another account.
  takeTokenOfAddress(signing);
  if (signing && token()) resume();
  openOfAddress();
});
setInterval(() => {
  ageTimes();
  if (link.failures > 1) showLink();
}, 1000);
poll().then(openOfAddress);
