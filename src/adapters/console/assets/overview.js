// The first five seconds: is a credential being abused, what was done, is the daemon healthy.

import { attr, byId, bytes, compact, el, gravity, keyed, many, nameOf, now, number, say, show, span } from './dom.js';
import { rateChart } from './charts.js';

const KEPT_MS = 300_000;
/** How many credentials the page asks for; those out of service come first. */
export const LISTED_MAX = 100;
const MODES = {
  shadow: 'carries nothing out by itself; records what it would do',
  alert: 'alerts people; takes nothing out of service by itself',
  throttle: 'slows credentials down by itself, at most',
  suspend: 'suspends by itself, at most; each suspension expires',
  revoke: 'revokes by itself, within its revocation limit',
};

let samples = [];
let counted = null;
let chart = null;

/** Learns the totals of a new status; rates are differences between them. */
export function learn(status) {
  const whose = [status.started, ...status.fleet.roster.filter((one) => !one.missing).map((one) => one.instance)].join();
  if (whose !== counted) samples = [];
  counted = whose;
  const at = Date.parse(status.now);
  const last = samples.at(-1);
  if (last && at <= last.at) return;
  const rate = last ? Math.max(0, ((status.events - last.events) * 1000) / (at - last.at)) : null;
  samples.push({ at, seen: Date.now() / 1000, rate, events: status.events });
  while (samples.length > 1200 || at - samples[0].at > KEPT_MS) samples.shift();
}

function ratePerS() {
  const last = samples.at(-1);
  const before = samples.findLast((sample) => last.at - sample.at >= 1900) ?? samples[0];
  return last && last.at > before.at ? ((last.events - before.events) * 1000) / (last.at - before.at) : null;
}

/** What gateways believe of a credential, as far as this page knows. */
export function statusOf(model, name) {
  const listed = model.credentials.find((one) => nameOf(one) === name);
  if (listed) return listed.status;
  const last = model.decisions.find((one) => one.carried_out && nameOf(one) === name);
  const after = { throttle: 'throttled', suspend: 'suspended', revoke: 'revoked' };
  const over = last?.until && Date.parse(last.until) < now();
  return (!over && after[last?.action]) || 'active';
}

export const isOut = (status) => status === 'suspended' || status === 'revoked';

function tile(id, { level, mark, value, sub }) {
  const node = byId(id);
  node.className = `tile level-${level}`;
  say(node.querySelector('.sign-mark'), mark);
  say(node.querySelector('.value'), value);
  say(node.querySelector('.sub'), sub);
}

function abuse(model) {
  const severe = model.incidents.filter((one) => gravity(one.action) >= 1);
  const running = severe.filter((one) => !isOut(statusOf(model, one.name)));
  const watched = model.incidents.length - severe.length;
  const observed = watched ? ` ${many(watched, 'other is', 'others are')} only observed.` : '';
  const last = (name) => model.decisions.find((one) => one.carried_out && nameOf(one) === name);
  const restored = running.filter((one) => last(one.name)?.action === 'restore');
  const suspect = running.filter((one) => !restored.includes(one));
  const some = (list) => {
    const more = list.length > 3 ? ` and ${list.length - 3} more` : '';
    return `${list.slice(0, 3).map((one) => one.credential).join(', ')}${more}`;
  };
  if (suspect.length) {
    return { level: 'bad', mark: '!', value: `${many(suspect.length, 'credential')} in service with open incidents`, sub: `${some(suspect)}.${observed}` };
  }
  if (restored.length) {
    const words = `A person restored ${some(restored)}; the incident is still open. tripline takes no action on it for a while.${observed}`;
    return { level: 'warn', mark: '✓', value: 'Restored', sub: words };
  }
  if (severe.length) {
    return { level: 'warn', mark: '✓', value: 'Abuse stopped', sub: `${many(severe.length, 'credential')} with an open incident, none of them in service.${observed}` };
  }
  const sub = watched ? `${many(watched, 'incident')} open, only observed.` : 'No open incident.';
  return { level: 'good', mark: '✓', value: 'No abuse now', sub };
}

function done(model) {
  const { status } = model;
  const out = model.credentials.filter((one) => isOut(one.status));
  const plus = out.length >= LISTED_MAX ? '+' : '';
  const last = model.decisions.find((one) => one.carried_out && one.action !== 'alert' && one.action !== 'observe');
  const counts = ['revoke', 'suspend', 'throttle', 'restore', 'alert']
    .filter((action) => status.decisions[action]).map((action) => many(status.decisions[action], action));
  const parts = [];
  if (last) parts.push(`Last: ${last.action} ${last.credential}, ${span(now() - Date.parse(last.at))} ago by ${last.by}.`);
  parts.push(`Since the start: ${counts.join(', ') || 'nothing carried out'}${status.held ? `, ${number(status.held)} held back` : ''}.`);
  if (status.approvals) parts.push(`${many(status.approvals, 'revocation waits', 'revocations wait')} for approval.`);
  return {
    level: status.approvals ? 'warn' : 'calm', mark: status.approvals ? '!' : out.length ? '✕' : '–',
    value: out.length ? `${number(out.length)}${plus} out of service` : 'None out of service', sub: parts.join(' '),
  };
}

/** The health of each part of the daemon: `level` good, calm, warn or bad, as the daemon itself judges. */
function healthOf(status) {
  const items = [];
  const issueOf = (part, store, source) => status.issues.find((one) =>
    one.part === part && (!store || one.store === store) && (!source || one.source === source));
  const shown = new Set();
  const add = (part, name, value, words, { level = 'good', store = null, source = null } = {}) => {
    show(issueOf(part, store, source), name, value, words, level);
  };
  const show = (issue, name, value, words, level) => {
    shown.add(issue);
    items.push(issue
      ? { name, level: issue.critical ? 'bad' : 'warn', value, words: sentence(issue) }
      : { name, level, value, words });
  };
  const { journal, kafka } = status;
  add('journal', 'journal', journal.writable ? `${compact(journal.lines)} lines` : 'not writable', 'The journal is writable.');
  for (const { name, waiting, up } of status.stores) {
    const value = !up ? 'unreachable' : waiting ? `${number(waiting)} pending` : 'settled';
    add('store', name, value, `${name} has all decisions, or is receiving them now.`, { store: name });
  }
  for (const { name, events, last_event: last } of status.sources) {
    if (name === 'default' && !last && !issueOf('source', null, name)) continue;
    const words = last ? `The newest event came ${span(now() - Date.parse(last))} ago.` : 'No event came since the start.';
    add('source', `source ${name}`, `${compact(events)} events`, words, { level: last ? 'good' : 'calm', source: name });
  }
  if (kafka) {
    const value = !kafka.up ? 'unreachable' : kafka.partitions ? `lag ${compact(kafka.lag)}` : 'no partition';
    add('kafka', 'Kafka', value, `${many(kafka.partitions, 'partition')}, ${many(kafka.lag, 'record')} not yet applied.`);
  }
  const ratio = status.memory_bytes_max ? status.memory_bytes / status.memory_bytes_max : 0;
  add('memory', 'memory', `${number(100 * ratio)} %`,
    `${bytes(status.memory_bytes)} of ${bytes(status.memory_bytes_max)}, ${many(status.credentials, 'credential')} remembered.`);
  add('queue', 'queue', issueOf('queue') ? 'full' : 'not full', `Full ${number(status.queue_full)} times since the start.`);
  add('records', 'rejected', `${compact(status.events_refused)} so far`, 'Records rejected since the start.');
  add('revocation_limit', 'revocation limit', status.revocation_tokens > 0 ? `${number(status.revocation_tokens)} left` : 'empty', 'Revocations that the limit allows now.');
  const age = status.checkpoint ? now() - Date.parse(status.checkpoint) : null;
  add('checkpoints', 'checkpoint', age === null ? 'none owned' : `${span(age)} ago`,
    'When the oldest checkpoint of a partition was written, or the partition taken over.', { level: age === null ? 'calm' : 'good' });
  add('event_log', 'event log', bytes(status.event_log_bytes), 'Events kept until checkpoints cover them.', { level: 'calm' });
  const { roster } = status.fleet;
  const lost = roster.filter((one) => one.missing);
  if (roster.length > 1 && !issueOf('fleet')) {
    const words = lost.length
      ? `This page lacks what ${lost.map((one) => `${one.name} knows (${one.missing})`).join(' and ')}.`
      : `The page shows what all know: ${roster.map((one) => one.name).join(', ')}.`;
    add('fleet', 'instances', `${roster.length - lost.length} of ${roster.length} answer`, words, { level: lost.length ? 'warn' : 'good' });
  }
  const left = status.issues.filter((one) => !shown.has(one));
  left.forEach((issue, at) => show(issue, at ? `${titleOf(issue.part)} ${at + 1}` : titleOf(issue.part), 'unhealthy', '', 'warn'));
  return items;
}

const titleOf = (part) => part.replace('_', ' ');

/** An issue as a sentence. */
function sentence({ part, store, source, found, runbook, instances }) {
  const where = instances?.length ? ` at ${instances.join(', ')}` : '';
  return `${store ?? (source ? `source ${source}` : titleOf(part))}${where}: ${found} (runbook ${runbook}).`;
}

function health(status, items, link) {
  const bad = ['bad', 'warn'].flatMap((level) => items.filter((item) => item.level === level));
  const up = `Version ${status.version}, up ${span(now() - Date.parse(status.started))}.`;
  if (link === 'away') return { level: 'bad', mark: '!', value: 'Unreachable', sub: 'The data shown is old.' };
  if (!bad.length) return { level: 'good', mark: '✓', value: 'Healthy', sub: `${many(status.credentials, 'credential')} watched. ${up}` };
  const level = bad.some((item) => item.level === 'bad') ? 'bad' : 'warn';
  return { level, mark: '!', value: many(bad.length, 'issue', 'issues'), sub: bad.map((item) => item.words).join(' ') };
}

const HEALTH_MARKS = { good: '✓', calm: '–', warn: '!', bad: '✕' };

function showHealth(items) {
  const make = () => {
    const row = el('li');
    row.parts = [el('span', { class: 'sign-mark', 'aria-hidden': 'true' }), el('span', { class: 'what' }), el('span', { class: 'how' }), el('span', { class: 'hidden' })];
    row.append(...row.parts);
    return row;
  };
  keyed(byId('health'), items, (item) => item.name, make, (row, item) => {
    row.className = `level-${item.level}`;
    attr(row, 'title', item.words);
    const [mark, what, how, words] = row.parts;
    say(mark, HEALTH_MARKS[item.level]);
    say(what, item.name);
    say(how, item.value);
    say(words, `: ${item.words}`);
  });
}

export function showOverview(model, link) {
  const { status } = model;
  const mode = byId('mode');
  show(mode, true);
  say(byId('mode-name'), `mode ${status.mode}`);
  say(byId('mode-words'), MODES[status.mode] ?? '');
  mode.title = `By default tripline ${MODES[status.mode] ?? 'has this mode'}. Tenants and kinds may have their own mode.`;
  const items = healthOf(status);
  for (const [name, words] of model.faults) items.push({ name, level: 'bad', value: 'can’t load', words: `The ${name} on this page are old: ${words}.` });
  const away = link === 'away';
  // Old data must not look healthy.
  if (away) for (const item of items) item.level = 'calm';
  const asKnown = (shown) => (away ? { ...shown, level: 'calm', mark: '?', value: `${shown.value} (old)` } : shown);
  tile('tile-abuse', asKnown(abuse(model)));
  tile('tile-done', asKnown(done(model)));
  tile('tile-watch', health(status, items, link));
  say(byId('tile-rate').querySelector('.value'), ratePerS() === null ? '…' : `${compact(ratePerS())}/s`);
  chart ??= rateChart(byId('rate-chart'));
  const drawn = samples.filter((sample) => sample.rate !== null);
  chart.set([drawn.map((sample) => sample.seen), drawn.map((sample) => sample.rate)]);
  showHealth(items);
  say(byId('foot'), `tripline ${status.version} · ${compact(status.events)} events since the start · ${compact(status.credentials)} credentials remembered · you are ${status.account}`);
}

