// One credential: its state, its windows with the expected ones, its findings and decisions.

import { ask, of, pathOf } from './api.js';
import { attr, badge, byId, el, keyed, many, number, say, setBadge, show, time } from './dom.js';
import { secondsChart, setWindowBar, windowBar } from './charts.js';
import { findingCard } from './incidents.js';
import { fillDecisions } from './decisions.js';

const FINDINGS_MAX = 30;
const ENFORCED = {
  active: 'Gateways accept it.', throttled: 'Gateways slow it down.',
  suspended: 'Gateways refuse it for a while.', revoked: 'Gateways refuse it for good.',
};

let panel = null;
let acts = null;
let shown = null;
let trailDue = 0;

export function startDetail(given) {
  acts = given;
  const dialog = byId('detail');
  byId('detail-close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', forget);
}

function forget() {
  panel?.chart.end();
  panel = null;
  shown = null;
  byId('detail-body').replaceChildren();
  history.replaceState(null, '', location.pathname);
}

export const shownName = () => shown;

/** Opens a credential that the daemon has described, or of which nothing is remembered. */
export function openDetail(name, credential) {
  const dialog = byId('detail');
  if (panel) panel.chart.end();
  shown = name;
  trailDue = 0;
  panel = build(name);
  byId('detail-body').replaceChildren(panel.root);
  say(byId('detail-title'), name);
  history.replaceState(null, '', `${location.pathname}#c=${encodeURIComponent(name)}`);
  if (!dialog.open) dialog.showModal();
  byId('detail-title').focus({ preventScroll: true });
  byId('detail-body').scrollTop = 0;
  panel.chart = secondsChart(panel.canvas);
  update(credential);
  // The next round asks again, and says what is wrong.
  refreshDetail().catch(() => {});
}

function fact(list, label) {
  const value = el('dd');
  list.append(el('div', {}, el('dt', { text: label }), value));
  return value;
}

function build(name) {
  const facts = el('dl', { class: 'facts' });
  const button = (verb, kind) => el('button', {
    type: 'button', class: kind, 'data-testid': verb, text: verb[0].toUpperCase() + verb.slice(1),
    on: { click: () => acts.order({ verb, name }) },
  });
  const made = {
    status: badge('active', 'status'), stands: el('span', {}), why: el('p', { class: 'summary' }),
    buttons: el('div', { class: 'buttons left' }, button('suspend', ''), button('revoke', 'danger'), button('restore', 'main')),
    mayNot: el('p', { class: 'muted small' }), note: el('p', { class: 'held' }),
    canvas: el('div', { class: 'chart seconds', role: 'img' }), rows: el('tbody'),
    tenant: fact(facts, 'Tenant'), limit: fact(facts, 'Limit'), generation: fact(facts, 'Generation'),
    first: fact(facts, 'First seen'), last: fact(facts, 'Last seen'), by: fact(facts, 'Last decision by'),
    findings: el('div'), decisions: el('ol', { class: 'decisions' }),
    undecided: el('p', { class: 'muted small', text: 'None: nothing was decided about it.', hidden: true }), use: el('section', { 'aria-label': 'Use' }),
  };
  made.use.append(
    el('h3', { text: 'Last 60 seconds' }), made.canvas,
    el('p', { class: 'legend muted small' }, el('span', { class: 'key-count', text: '■ requests a second' }),
      el('span', { class: 'key-expected', text: '╌ expected' }), el('span', { class: 'key-peak', text: '┈ peak of a second' })),
    el('h3', { text: 'Windows' }),
    el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Windows with what is expected' },
      el('table', { class: 'grid windows' },
        el('thead', {}, el('tr', {}, ...['Window', 'Count', 'Expected', 'Peak', '× peak'].map((label, at) => el('th', { scope: 'col', class: at ? 'right' : null, text: label })), el('th', { scope: 'col', text: 'Beside what is usual' }))),
        made.rows)),
    el('p', { class: 'legend muted small' }, el('span', { class: 'key-count', text: '■ count' }), el('span', { class: 'key-expected', text: '| expected' }), el('span', { class: 'key-top', text: '| peak' })));
  made.root = el('div', { class: 'inside' },
    el('div', { class: 'line' }, made.status, made.stands), made.why, made.note, made.buttons, made.mayNot,
    facts, made.use,
    el('h3', { text: 'Findings' }), made.findings,
    el('h3', { text: 'Decisions' }), made.undecided, made.decisions);
  return made;
}

/** Shows what may be ordered; says why if nothing may. */
function showButtons(status) {
  const may = acts.mayOperate();
  show(panel.buttons, may);
  show(panel.mayNot, !may);
  say(panel.mayNot, may ? '' : acts.whyNot());
  for (const button of panel.buttons.children) {
    const verb = button.dataset.testid;
    button.disabled = (verb === 'restore' && status === 'active') || (verb === 'revoke' && status === 'revoked') || (verb === 'suspend' && status === 'revoked');
  }
}

function update(one) {
  if (!panel) return;
  const status = one?.status ?? 'active';
  setBadge(panel.status, status);
  panel.stands.replaceChildren(ENFORCED[status] ?? '', one?.until ? ' Expires ' : '', one?.until ? time(one.until) : '');
  say(panel.why, one?.reason ? `Last decision: ${one.reason}` : '');
  show(panel.why, Boolean(one?.reason));
  const used = Boolean(one?.windows.length);
  show(panel.use, used);
  const note = !one ? 'tripline has no profile of this credential: it was not used yet, or its requests failed. You can still give orders; make sure that the id is right.'
    : used ? '' : 'Its profile was evicted; its decisions are kept.';
  say(panel.note, note);
  show(panel.note, Boolean(note));
  showButtons(status);
  say(panel.tenant, one?.tenant ?? '–');
  const builtIn = one?.limit_is_written === false ? ', built-in: throttles at most' : '';
  say(panel.limit, one?.limit_per_min ? `${number(one.limit_per_min)} a minute${builtIn}` : used ? 'none' : '–');
  say(panel.generation, number(one?.generation ?? 0));
  panel.first.replaceChildren(time(one?.first_seen));
  panel.last.replaceChildren(time(one?.last_seen));
  say(panel.by, one?.by ?? '–');
  if (used) showUse(one);
}

function showUse(one) {
  const counts = one.per_second ?? [];
  const second = one.windows.find((window) => window.window_s === 1) ?? { expected: 0, peak: 0 };
  const at = counts.map((_, index) => index - counts.length + 1);
  panel.chart.set([at, counts, at.map(() => second.expected), at.map(() => second.peak)]);
  const sum = counts.reduce((total, count) => total + count, 0);
  attr(panel.canvas, 'aria-label', `Requests in each of the last 60 seconds: ${number(sum)} in all, at most ${number(Math.max(0, ...counts))} in one; expected ${number(second.expected)}`);
  const make = () => {
    const row = el('tr');
    row.parts = [el('th', { scope: 'row' }), ...[0, 1, 2, 3].map(() => el('td', { class: 'right' }))];
    row.bar = windowBar();
    row.append(...row.parts, el('td', {}, row.bar));
    return row;
  };
  keyed(panel.rows, one.windows, (window) => window.window_s, make, (row, window) => {
    const ratio = window.peak > 0 ? window.count / window.peak : null;
    const words = [`${window.window_s} s`, number(window.count), number(window.expected), number(window.peak), ratio === null ? '–' : `${ratio > 1 ? '▲ ' : ''}${number(ratio)}`];
    words.forEach((word, index) => say(row.parts[index], word));
    setWindowBar(row.bar, window);
  });
}

/** Loads again the credential that is open. */
export async function refreshDetail(withTrail = false) {
  const name = shown;
  if (!name) return;
  const one = await ask(pathOf(name)).catch((problem) => {
    if (problem.status === 404) return null;
    throw problem;
  });
  if (shown !== name) return;
  update(one);
  if (!withTrail && Date.now() < trailDue) return;
  trailDue = Date.now() + 4000;
  const [findings, decisions] = await Promise.all([
    ask(`/v1/findings?limit=${FINDINGS_MAX}&${of(name)}`), ask(`/v1/decisions?limit=50&${of(name)}`),
  ]);
  if (shown !== name) return;
  showFindings(findings);
  fillDecisions(panel.decisions, decisions, null);
  show(panel.undecided, decisions.length === 0);
}

function showFindings(findings) {
  const key = findings.map((one) => one.id + one.updated + one.closed).join();
  if (panel.key === key && panel.findings.childElementCount) return;
  panel.key = key;
  const open = findings.filter((one) => !one.closed).length;
  panel.findings.replaceChildren(
    el('p', { class: 'muted small', text: findings.length ? `${many(open, 'is', 'are')} open, of the newest ${number(findings.length)}.` : 'None are kept.' }),
    ...findings.map((one) => {
      const details = el('details', {}, el('summary', {}, badge(one.action), ` ${one.detector}: `, el('span', { text: one.summary })));
      details.addEventListener('toggle', () => details.open && details.childElementCount === 1 && details.append(findingCard(one)));
      return details;
    }));
}

