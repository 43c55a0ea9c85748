// The busiest credentials: a table that can be sorted and filtered, with a minute of each.

import { attr, badge, byId, el, keyed, nameOf, number, opener, say, setBadge, show } from './dom.js';
import { setSparkline, sparkline } from './charts.js';

const ROWS_MAX = 100;
const STATUSES = ['active', 'throttled', 'suspended', 'revoked'];

const minute = (one) => one.windows.find((window) => window.window_s === 60) ?? { count: 0, expected: 0, peak: 0 };
const ratio = (one) => (minute(one).peak > 0 ? minute(one).count / minute(one).peak : 0);

const COLUMNS = [
  { id: 'name', label: 'Credential', of: (one) => one.credential, words: true },
  { id: 'status', label: 'Status', of: (one) => STATUSES.indexOf(one.status) },
  { id: 'spark', label: 'Last 60 s' },
  { id: 'count', label: 'Last minute', of: (one) => minute(one).count, title: 'Requests in the last minute' },
  { id: 'expected', label: 'Expected', of: (one) => minute(one).expected, title: 'What is expected in a minute, by its baseline' },
  { id: 'peak', label: 'Peak', of: (one) => minute(one).peak, title: 'The most it ever did in a minute, slowly forgotten' },
  { id: 'ratio', label: '× peak', of: ratio, title: 'The last minute, over the peak' },
];

let sorted = { id: 'count', down: true };
let order = new Map();
let again = () => {};
const heads = new Map();

export function startCredentials(redraw) {
  again = redraw;
  for (const column of COLUMNS) {
    const head = el('th', { scope: 'col', class: column.of && !column.words && column.id !== 'status' ? 'right' : null, title: column.title });
    if (column.of) {
      head.append(el('button', { type: 'button', text: column.label, on: { click: () => sortBy(column) } }));
      heads.set(column.id, head);
    } else head.textContent = column.label;
    byId('credentials-head').append(head);
  }
  byId('filter').addEventListener('input', () => again());
}

function sortBy(column) {
  const same = sorted.id === column.id;
  sorted = { id: column.id, down: same ? !sorted.down : !column.words };
  order = new Map();
  again();
}

/** Rows stay where they are while somebody points at them or is on one of them. */
function held() {
  const body = byId('credentials');
  return body.matches(':hover') || body.contains(document.activeElement);
}

function arranged(credentials) {
  const column = COLUMNS.find((one) => one.id === sorted.id);
  const sign = sorted.down ? -1 : 1;
  const compare = (a, b) => {
    const [x, y] = [column.of(a), column.of(b)];
    const by = typeof x === 'string' ? x.localeCompare(y, 'en', { numeric: true }) : x - y;
    return sign * by || nameOf(a).localeCompare(nameOf(b));
  };
  const rows = [...credentials].sort(compare);
  if (held() && order.size) {
    const place = (one) => order.get(nameOf(one)) ?? order.size;
    rows.sort((a, b) => place(a) - place(b));
  }
  order = new Map(rows.map((one, at) => [nameOf(one), at]));
  return rows;
}

function make(one, open) {
  const row = el('tr');
  const cell = (...inside) => el('td', {}, ...inside);
  const num = () => el('td', { class: 'right' });
  const parts = {
    where: el('span', { class: 'muted small' }), status: badge(one.status), spark: sparkline(),
    count: num(), expected: num(), peak: num(), ratio: num(),
  };
  row.append(
    el('th', { scope: 'row' }, opener(one, open, { 'data-nav': true }), ' ', parts.where),
    cell(parts.status), cell(parts.spark), parts.count, parts.expected, parts.peak, parts.ratio);
  row.addEventListener('click', (event) => {
    if (!event.target.closest('button') && !String(getSelection())) open(nameOf(one));
  });
  row.parts = parts;
  return row;
}

export function showCredentials(model, open) {
  const wanted = byId('filter').value.trim().toLowerCase();
  const fits = (one) => `${nameOf(one)} ${one.tenant ?? ''} ${one.status}`.toLowerCase().includes(wanted);
  const rows = arranged(model.credentials.filter(fits)).slice(0, ROWS_MAX);
  for (const [id, head] of heads) attr(head, 'aria-sort', id !== sorted.id ? 'none' : sorted.down ? 'descending' : 'ascending');
  keyed(byId('credentials'), rows, nameOf, (one) => make(one, open), (row, one) => {
    const { parts } = row;
    const last = minute(one);
    const above = ratio(one) > 1;
    row.className = `${above ? 'above' : ''} ${one.open_findings.length ? 'has-finding' : ''}`;
    say(parts.where, `${one.kind} · ${one.tenant ?? 'no tenant'}${one.open_findings.length ? ' · open incident' : ''}`);
    setBadge(parts.status, one.status);
    setSparkline(parts.spark, one.per_second ?? [], last.expected / 60);
    say(parts.count, number(last.count));
    say(parts.expected, number(last.expected));
    say(parts.peak, number(last.peak));
    say(parts.ratio, last.peak > 0 ? `${above ? '▲ ' : ''}${number(ratio(one))}` : '–');
  });
  say(byId('credentials-count'), `${number(rows.length)} of ${number(model.status.credentials)}`);
  const empty = byId('credentials-empty');
  show(empty, rows.length === 0);
  say(empty, wanted ? 'None of the busiest credentials fits the filter. To find any other, use the search at the top.' : 'No credential was used within the last minute.');
}
