// Decisions, newest first, with each store's answer; and the revocations pending approval.

import { attr, badge, byId, el, gravity, keyed, many, nameOf, number, opener, say, setTime, show, time } from './dom.js';

const ROWS_MAX = 100;

const HELD = {
  mode: 'the mode', allow_list: 'the allow list', revocation_limit: 'the revocation limit', catch_up: 'catch-up',
  budget: 'the false-action budget', common_cause: 'a common cause',
  maturity: 'too short a history', warm_up: 'warm-up after the start', approval: 'approval by people',
  invariant: 'an invariant',
};
const ANSWERS = {
  applied: '✓', already: '✓', waiting: '…', stale: '–', refused: '✕', unreachable: '!', unsupported: '–',
};

/** What held a decision back, in words; empty if nothing did. */
export function heldWords(decision) {
  if (!decision.held_by?.length) return '';
  const names = decision.held_by.map((name) => (name === 'mode' ? `the mode (${decision.mode})` : HELD[name] ?? name));
  const wanted = decision.wanted === decision.action ? '' : `${decision.wanted} was justified, `;
  return `${wanted}held back by ${names.join(', ')}`;
}

/** Whether stores would receive the decision, but don't. No store receives an alert, so it is not held back by that. */
export const notDone = (decision) => !decision.carried_out && gravity(decision.action) >= gravity('throttle');

/** Each store's answer, as a list. */
export function storeAnswers(stores) {
  const answers = Object.entries(stores ?? {});
  return answers.map(([name, answer]) => el('li', { class: `answer is-${answer}` },
    el('span', { 'aria-hidden': 'true', text: ANSWERS[answer] ?? '?' }), ` ${name} ${answer}`));
}

function make(decision, open) {
  const row = el('li', { class: 'decision', 'data-testid': 'decision' });
  const would = !notDone(decision) ? null : el('span', { class: 'would', text: 'not carried out' });
  const parts = { at: time(decision.at), stores: el('ul', { class: 'answers', 'aria-label': 'Answers of the stores' }), until: el('span', { class: 'muted' }) };
  const held = heldWords(decision);
  row.append(
    el('div', { class: 'line' }, badge(decision.action), would, open ? opener(decision, open, { 'data-nav': true }) : null,
      el('span', { class: 'grow' }), el('span', { class: 'muted' }, parts.at)),
    el('p', { class: 'summary', text: decision.reason }),
    el('p', { class: 'muted small' }, `by ${decision.by}`, decision.generation ? ` · generation ${number(decision.generation)}` : '',
      decision.until ? ' · until ' : '', decision.until ? time(decision.until) : ''),
    held ? el('p', { class: 'held', text: `${held[0].toUpperCase()}${held.slice(1)}.` }) : '',
    parts.stores);
  row.parts = parts;
  return row;
}

export function fillDecisions(list, decisions, open) {
  keyed(list, decisions.slice(0, ROWS_MAX), (one) => one.id, (one) => make(one, open), (row, one) => {
    setTime(row.parts.at, one.at);
    attr(row, 'class', `decision act-${one.action}${notDone(one) ? ' not-done' : ''}`);
    const key = JSON.stringify(one.stores ?? null);
    if (row.answers !== key) {
      row.answers = key;
      row.parts.stores.replaceChildren(...storeAnswers(one.stores));
      show(row.parts.stores, Boolean(one.stores && Object.keys(one.stores).length));
    }
  });
}

export function showDecisions(model, open) {
  fillDecisions(byId('decisions'), model.decisions, open);
  say(byId('decisions-count'), model.decisions.length ? `newest ${number(Math.min(ROWS_MAX, model.decisions.length))}` : '');
  const empty = byId('decisions-empty');
  show(empty, model.decisions.length === 0);
  say(empty, 'Nothing was decided yet.');
}

function makeApproval(one, { open, order }) {
  const { decision } = one;
  const row = el('li', { class: 'decision act-revoke', 'data-testid': 'approval' });
  const button = (verb, testid, kind) => el('button', {
    type: 'button', class: kind, 'data-testid': testid, text: verb[0].toUpperCase() + verb.slice(1),
    on: { click: () => order({ verb, name: nameOf(decision), decision: decision.id }) },
  });
  row.parts = { agreed: el('p', { class: 'muted small' }), until: time(one.until), buttons: el('div', { class: 'buttons left' }, button('approve', 'approve', 'danger'), button('reject', 'reject', '')) };
  row.append(
    el('div', { class: 'line' }, el('span', { class: 'muted', text: 'revoke' }), opener(decision, open, { 'data-nav': true }),
      el('span', { class: 'grow' }), el('span', { class: 'muted' }, 'ends ', row.parts.until)),
    el('p', { class: 'summary', text: decision.reason }), row.parts.agreed, row.parts.buttons);
  return row;
}

export function showApprovals(model, acts) {
  show(byId('approvals-panel'), model.approvals.length > 0);
  say(byId('approvals-count'), number(model.approvals.length));
  keyed(byId('approvals'), model.approvals.slice(0, ROWS_MAX), (one) => one.decision.id, (one) => makeApproval(one, acts), (row, one) => {
    setTime(row.parts.until, one.until);
    const agreed = one.agreed.length ? `${many(one.agreed.length, 'person', 'people')} approved: ${one.agreed.join(', ')}.` : 'No one approved yet.';
    say(row.parts.agreed, `Suspended meanwhile. ${agreed}`);
    show(row.parts.buttons, acts.mayOperate());
  });
}
