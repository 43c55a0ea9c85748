// Open incidents: one row a credential, its findings inside, the most severe first.

import { attr, badge, byId, el, gravity, keyed, many, nameOf, number, numbers, opener, say, setBadge, setTime, show, time } from './dom.js';
import { statusOf } from './overview.js';
import { heldWords, notDone } from './decisions.js';

const ROWS_MAX = 100;
const FINDINGS_MAX = 12;
let known = null;

/** Groups open findings by credential. */
export function group(findings) {
  const groups = new Map();
  for (const finding of findings) {
    if (finding.closed) continue;
    const name = nameOf(finding);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(finding);
  }
  const incidents = [...groups].map(([name, found]) => {
    found.sort((a, b) => gravity(b.action) - gravity(a.action) || b.evidence_nats - a.evidence_nats);
    const [first] = found;
    const opened = found.reduce((least, one) => (one.opened < least ? one.opened : least), first.opened);
    return { name, credential: first.credential, kind: first.kind, tenant: first.tenant, action: first.action, opened, findings: found };
  });
  return incidents.sort((a, b) => gravity(b.action) - gravity(a.action) || b.opened.localeCompare(a.opened));
}

/** A finding in full: its sentence, its numbers, when each action was first justified. */
export function findingCard(finding) {
  const reached = Object.entries(finding.reached ?? {}).sort((a, b) => gravity(a[0]) - gravity(b[0]));
  return el('article', { class: 'finding' },
    el('p', { class: 'line' }, badge(finding.action), el('strong', { text: finding.detector }),
      el('span', { class: 'muted' }, 'opened ', time(finding.opened), finding.closed ? ', closed ' : '', finding.closed ? time(finding.closed) : '')),
    el('p', { class: 'summary', text: finding.summary }),
    el('p', { class: 'muted small', text: `Evidence ${number(finding.evidence_nats)} nats · justified: ${reached.map(([action]) => action).join(', ') || 'nothing'} · ${finding.id}` }),
    numbers(finding.evidence));
}

function make(incident, open) {
  const row = el('li', { class: 'incident', 'data-testid': 'incident' });
  const parts = {
    action: badge(incident.action), status: badge('active'), opened: time(incident.opened),
    where: el('span', { class: 'muted' }), detector: el('strong'), summary: el('span'),
    done: el('p', { class: 'done' }), more: el('summary'), inside: el('div'),
  };
  const details = el('details', {}, parts.more, parts.inside);
  details.addEventListener('toggle', () => fill(row));
  row.append(
    el('div', { class: 'line' }, opener(incident, open, { 'data-nav': true }), parts.where,
      el('span', { class: 'grow' }), el('span', { class: 'muted' }, 'opened ', parts.opened)),
    el('div', { class: 'line' }, el('span', { class: 'muted', text: 'justifies' }), parts.action, el('span', { class: 'muted', text: 'now' }), parts.status),
    el('p', { class: 'summary' }, parts.detector, ': ', parts.summary),
    parts.done, details);
  row.parts = { ...parts, details };
  return row;
}

function fill(row) {
  const { details, inside } = row.parts;
  const key = details.open ? row.incident.findings.map((one) => one.id + one.updated).join() : '';
  if (row.filled === key) return;
  row.filled = key;
  inside.replaceChildren(...(details.open ? row.incident.findings.slice(0, FINDINGS_MAX).map(findingCard) : []));
}

/** What was done about an incident, in words. */
function doneWords(model, incident) {
  const last = model.decisions.find((one) => nameOf(one) === incident.name);
  if (!last) return 'No decision yet.';
  const held = heldWords(last);
  if (notDone(last)) return `No action: ${last.action} was not carried out${held ? `; ${held}` : ''}.`;
  if (!last.carried_out) return `Only an alert${held ? `; ${held}` : ''}.`;
  return `Done: ${last.action} by ${last.by}${held ? `; ${held}` : ''}.`;
}

export function showIncidents(model, open, announce) {
  const rows = model.incidents.slice(0, ROWS_MAX);
  keyed(byId('incidents'), rows, (one) => one.name, (one) => make(one, open), (row, incident) => {
    const [first] = incident.findings;
    const { parts } = row;
    row.incident = incident;
    attr(row, 'class', `incident act-${incident.action}`);
    setBadge(parts.action, incident.action);
    setBadge(parts.status, statusOf(model, incident.name));
    setTime(parts.opened, incident.opened);
    say(parts.where, `${incident.kind} · ${incident.tenant ?? 'no tenant'}`);
    say(parts.detector, first.detector);
    say(parts.summary, first.summary);
    say(parts.done, doneWords(model, incident));
    const others = incident.findings.length - 1;
    say(parts.more, others ? `Evidence, and ${many(others, 'more finding')}` : 'Evidence');
    fill(row);
  });
  say(byId('incidents-count'), model.incidents.length ? number(model.incidents.length) : '');
  const empty = byId('incidents-empty');
  show(empty, rows.length === 0 || model.incidents.length > ROWS_MAX);
  say(empty, rows.length ? `The ${ROWS_MAX} most severe are shown.` : 'No open incidents.');
  tellNew(model.incidents, announce);
}

/** Announces new incidents to screen readers, once each. */
function tellNew(incidents, announce) {
  const severe = incidents.filter((one) => gravity(one.action) >= 1);
  const fresh = known && severe.filter((one) => !known.has(one.name));
  if (fresh?.length) {
    const [first] = fresh;
    const more = fresh.length > 1 ? ` and ${fresh.length - 1} more` : '';
    announce(`New incident: ${first.credential}, ${first.findings[0].detector}, justifies ${first.action}${more}.`);
  }
  known = new Set(severe.map((one) => one.name));
}
