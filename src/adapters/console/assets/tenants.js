// The requests of each tenant in the last whole minute, against its baseline.

import { byId, clean, el, keyed, number, say, show } from './dom.js';

const ROWS_MAX = 8;

const percent = (share) => `${number(Math.round(share * 1000) / 10)} %`;

function state(one) {
  if (one.flood) return `▲ floods (${one.flood})`;
  return one.minutes_missing > 0 ? `learning for ${number(one.minutes_missing)} more min` : 'normal';
}

function make(one) {
  const num = () => el('td', { class: 'right' });
  const parts = { requests: num(), share: num(), usual: num(), state: el('td') };
  const row = el('tr', {}, el('th', { scope: 'row', text: clean(one.tenant) }), parts.requests, parts.share, parts.usual, parts.state);
  row.parts = parts;
  return row;
}

export function showTenants(model) {
  const { minute, requests, tenants } = model.tenants;
  keyed(byId('tenants'), tenants.slice(0, ROWS_MAX), (one) => one.tenant, make, (row, one) => {
    row.className = one.flood === 'alert' ? 'above' : '';
    say(row.parts.requests, number(one.requests));
    say(row.parts.share, percent(one.share));
    say(row.parts.usual, one.usual_share === null ? '–' : percent(one.usual_share));
    say(row.parts.state, state(one));
  });
  const shown = Math.min(ROWS_MAX, tenants.length);
  const part = tenants.length > shown ? `${shown} busiest of ` : '';
  say(byId('tenants-count'), minute ? `${part}${number(requests)} requests in the minute from ${minute.slice(11, 16)} UTC` : '');
  const empty = byId('tenants-empty');
  show(empty, tenants.length === 0);
  say(empty, minute ? 'No event of that minute named its tenant.' : 'No recent minute had requests.');
}
