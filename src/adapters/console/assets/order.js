// Orders: suspend, revoke, restore, approve, reject. Asks for a reason, then shows what came of it.

import { ask, pathOf } from './api.js';
import { byId, el, many, number, say, show, time } from './dom.js';
import { heldWords, storeAnswers } from './decisions.js';

const BY = 'tripline.by';
const LASTS = [[900, '15 minutes'], [3600, '1 hour'], [86_400, '1 day'], [604_800, '7 days']];
const REASON_BYTES_MAX = 1000;
/** How long the page waits for the stores' answers. Unit: polls, one a second. */
const LOOKS_MAX = 10;

const VERBS = {
  suspend: { button: 'danger', words: (name) => `Gateways refuse ${name} until the suspension expires, its owner included.` },
  revoke: { button: 'danger', words: (name) => `Gateways refuse ${name} for good, its owner included, until it is restored. Some stores can’t restore: there a new credential has to be issued.` },
  restore: { button: 'main', words: (name) => `Gateways accept ${name} again at once. For a while tripline takes no action on its open findings; then they are evaluated again.` },
  approve: { button: 'danger', words: (name) => `You agree that ${name} is revoked for good. Once enough people approve, gateways refuse it until it is restored.` },
  reject: { button: 'main', words: (name) => `${name} is not revoked. Its suspension expires.` },
};

let current = null;
let changed = () => {};

const capital = (word) => word[0].toUpperCase() + word.slice(1);

export function startOrder(onChange) {
  changed = onChange;
  byId('lasts').append(...LASTS.map(([seconds, text]) => el('option', { value: seconds, text, selected: seconds === 3600 })));
  byId('order-cancel').addEventListener('click', () => byId('order').close());
  byId('order').addEventListener('close', () => { current = null; });
  byId('order-form').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
}

export function openOrder({ verb, name, decision }) {
  current = { verb, name, decision };
  say(byId('order-title'), `${capital(verb)} ${decision ? `the revocation of ${name}` : name}`);
  say(byId('order-words'), VERBS[verb].words(name));
  show(byId('order-fields'), true);
  show(byId('lasts-field'), verb === 'suspend');
  show(byId('sure-field'), verb === 'revoke' || verb === 'approve');
  say(byId('sure-words'), `Yes, revoke ${name}`);
  byId('sure').checked = false;
  byId('reason').value = '';
  byId('by').value = sessionStorage.getItem(BY) ?? '';
  byId('lasts').value = '3600';
  tell('');
  byId('order-result').replaceChildren();
  const confirm = byId('order-confirm');
  confirm.className = VERBS[verb].button;
  confirm.disabled = false;
  show(confirm, true);
  say(confirm, capital(verb));
  say(byId('order-cancel'), 'Cancel');
  byId('order').showModal();
  byId('reason').focus();
}

function tell(words, field = null) {
  say(byId('order-error'), words);
  for (const id of ['reason', 'by', 'sure']) {
    if (id === field) byId(id).setAttribute('aria-invalid', 'true');
    else byId(id).removeAttribute('aria-invalid');
  }
  if (field) byId(field).focus();
}

async function send() {
  const { verb, name, decision } = current;
  const reason = byId('reason').value.trim();
  const by = byId('by').value.trim();
  if (!reason) return tell('Give a reason: it is recorded in the audit log.', 'reason');
  if (new TextEncoder().encode(reason).length > REASON_BYTES_MAX) return tell('The reason is too long: 1000 bytes at most.', 'reason');
  if (!byId('sure-field').hidden && !byId('sure').checked) return tell('Tick the box to say that you mean this credential.', 'sure');
  tell('');
  if (by) sessionStorage.setItem(BY, by);
  else sessionStorage.removeItem(BY);
  const confirm = byId('order-confirm');
  confirm.disabled = true;
  say(confirm, 'Sending …');
  const body = { reason };
  if (by) body.by = by;
  if (verb === 'suspend') body.lasts_s = Number(byId('lasts').value);
  const path = decision ? `/v1/decisions/${encodeURIComponent(decision)}/${verb}` : `${pathOf(name)}/${verb}`;
  const mine = current;
  try {
    const done = await ask(path, { body });
    if (current === mine) showResult(done);
  } catch (error) {
    if (current === mine) {
      const words = error.words ?? 'The daemon did not answer. It may have carried out the order nevertheless: check the decisions before you order again.';
      tell(error.status === 403 ? `${words}. Nothing was changed.` : words);
      confirm.disabled = false;
      say(confirm, capital(verb));
    }
  }
  changed();
}

function outcome(done) {
  const { verb, name } = current;
  const { decision } = done;
  if (!decision) {
    if (verb === 'approve' || verb === 'reject') return `Your ${verb === 'approve' ? 'approval' : 'rejection'} is recorded in the audit log.`;
    return `Nothing changed: ${name} was ${done.before || 'as ordered'} before.`;
  }
  if (!decision.carried_out) return `Not carried out: ${heldWords(decision) || decision.reason}.`;
  const held = heldWords(decision);
  return `Ordered: ${decision.action} ${name}${held ? `; ${held}` : ''}.`;
}

function showResult(done) {
  const { decision } = done;
  const lines = [el('p', { class: 'outcome', text: outcome(done) })];
  const stores = el('ul', { class: 'answers' });
  if (decision) {
    lines.push(el('p', { class: 'muted small' }, `Decision ${decision.id} · generation ${number(decision.generation)}`,
      decision.until ? ' · until ' : '', decision.until ? time(decision.until) : ''));
    lines.push(stores);
    if (decision.carried_out) watchStores(decision.id, stores, current);
  }
  for (const store of done.cannot ?? []) {
    lines.push(el('p', { class: 'error', text: `${store} can’t restore: issue a new credential there.` }));
  }
  if (done.open_findings?.length) {
    lines.push(el('p', { class: 'held', text: `${many(done.open_findings.length, 'finding')} still open: no action on it during [actions] operator_restore_grace; if it goes on after that, it is evaluated again.` }));
  }
  byId('order-result').replaceChildren(...lines);
  show(byId('order-fields'), false);
  say(byId('order-words'), '');
  show(byId('order-confirm'), false);
  say(byId('order-cancel'), 'Close');
  byId('order-cancel').focus();
}

/** Looks until each store has answered, for a while. */
async function watchStores(id, list, mine) {
  for (let look = 0; look < LOOKS_MAX && current === mine; look += 1) {
    const carried = await ask(`/v1/decisions/${encodeURIComponent(id)}`).catch(() => null);
    list.replaceChildren(...storeAnswers(carried?.stores));
    const answers = Object.values(carried?.stores ?? { none: 'waiting' });
    if (!answers.some((answer) => answer === 'waiting' || answer === 'unreachable')) return;
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}
