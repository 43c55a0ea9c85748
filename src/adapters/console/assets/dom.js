// Elements, words for numbers and times. Everything is inserted as text: ids come from attackers.

// Characters that are not seen, or make others be seen as they are not; as in src/app/top/text.rs.
const MISLEADS = new RegExp(
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e' +
  '\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb]|[\\u{e0000}-\\u{e0fff}]', 'gu');

/** A text as it may be shown: what misleads is replaced. */
export const clean = (text) => String(text).replace(MISLEADS, '\ufffd');

/** Makes an element. `props`: `class`, `text`, `on: {event: function}`, anything else an attribute. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'text') node.textContent = clean(value);
    else if (name === 'class') node.className = value;
    else if (name === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else node.setAttribute(name, value === true ? '' : clean(value));
  }
  const shown = children.filter((child) => child !== null && child !== undefined);
  node.append(...shown.map((child) => (child instanceof Node ? child : clean(child))));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Sets the text only if it changed, so that nothing is laid out or selected again each second. */
export function say(node, text) {
  const shown = clean(text);
  if (node.textContent !== shown) node.textContent = shown;
}

export function attr(node, name, value) {
  const shown = clean(value);
  if (node.getAttribute(name) !== shown) node.setAttribute(name, shown);
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

const rowsOf = new WeakMap();

/** Brings the children of `parent` in line with `items`; keeps elements, and focus, by key. */
export function keyed(parent, items, keyOf, make, update) {
  const rows = rowsOf.get(parent) ?? new Map();
  rowsOf.set(parent, rows);
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const keys = new Set(items.map(keyOf));
  for (const [key, row] of rows) {
    if (keys.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  let at = parent.firstElementChild;
  const placed = new Set();
  for (const item of items) {
    const key = keyOf(item);
    if (placed.has(key)) continue;
    placed.add(key);
    let row = rows.get(key);
    if (!row) {
      row = make(item);
      rows.set(key, row);
    }
    update(row, item);
    if (row === at) at = at.nextElementSibling;
    else parent.insertBefore(row, at);
  }
  if (focused && document.activeElement !== focused) {
    const next = focused.isConnected ? focused : parent.querySelector('[data-nav]');
    (next ?? parent.closest('section, dialog')?.querySelector('h2'))?.focus({ preventScroll: true });
  }
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** A number as people read it: thousands separated, a tenth where it is small. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  return Math.abs(value) < 100 ? tenth.format(value) : whole.format(value);
}

/** A number of the evidence: small ones in full. */
export function exact(value) {
  if (typeof value !== 'number') return String(value);
  return Number.isInteger(value) ? whole.format(value) : String(Number(value.toPrecision(4)));
}

export const compact = (value) => (value < 10000 ? number(value) : short.format(value).replace('K', 'k'));

/** `1 finding`, `3 findings`. */
export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;

export function bytes(value) {
  let at = 0;
  while (value >= 1024 && at < 4) {
    value /= 1024;
    at += 1;
  }
  return `${number(value)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][at]}`;
}

let ahead = 0;

/** Learns how far the daemon's clock is ahead of this one, so that ages are the daemon's. Unit: ms. */
export function setClock(rfc3339) {
  const now = Date.parse(rfc3339);
  if (!Number.isNaN(now)) ahead = now - Date.now();
}

export const now = () => Date.now() + ahead;

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

function relative(at) {
  const off = now() - at;
  if (Math.abs(off) < 1500) return 'now';
  return off > 0 ? `${span(off)} ago` : `in ${span(-off)}`;
}

/** A time, relative, with the exact one next to it. */
export function time(rfc3339) {
  const node = el('time', { 'data-relative': '' });
  setTime(node, rfc3339);
  return node;
}

export function setTime(node, rfc3339) {
  if (!rfc3339) return say(node, '–');
  attr(node, 'datetime', rfc3339);
  attr(node, 'title', rfc3339);
  say(node, relative(Date.parse(rfc3339)));
}

/** Updates all relative times. */
export function ageTimes() {
  for (const node of document.querySelectorAll('time[data-relative][datetime]')) {
    say(node, relative(Date.parse(node.dateTime)));
  }
}

export const nameOf = (thing) => `${thing.kind}:${thing.credential}`;

const MARKS = {
  active: '●', throttled: '◐', suspended: '‖', revoked: '✕', unknown: '?',
  observe: '○', alert: '!', throttle: '◐', suspend: '‖', revoke: '✕', restore: '↺',
};

/** A badge: a mark and a word, colour is the third sign. */
export function badge(word, testid) {
  const node = el('span', { 'data-testid': testid });
  setBadge(node, word);
  return node;
}

export function setBadge(node, word) {
  if (node.dataset.word === word) return;
  node.dataset.word = word;
  node.className = `badge is-${MARKS[word] ? word : 'unknown'}`;
  node.replaceChildren(el('span', { 'aria-hidden': 'true', text: MARKS[word] ?? '?' }), ` ${word}`);
}

export const GRAVITY = ['observe', 'alert', 'throttle', 'suspend', 'revoke'];
export const gravity = (action) => GRAVITY.indexOf(action);

/** A button that names a credential and opens it. */
export function opener(thing, open, props = {}) {
  const id = nameOf(thing);
  return el('button', {
    type: 'button', class: 'name', title: `Open ${id}`, text: thing.credential,
    on: { click: () => open(id) }, ...props,
  });
}

/** The evidence of a finding or decision as a list of names and numbers. */
export function numbers(evidence) {
  const pairs = Object.entries(evidence ?? {}).slice(0, 60);
  return el('dl', { class: 'numbers' }, ...pairs.map(([name, value]) => el('div', {},
    el('dt', { text: name }), el('dd', { text: exact(value) }))));
}
