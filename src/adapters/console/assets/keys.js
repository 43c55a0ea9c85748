// The keyboard, its help, and the theme.

import { byId, say } from './dom.js';
import { repaint } from './charts.js';

const THEME = 'tripline.theme';
const KEYS = 'tripline.keys';
const THEMES = { system: ['◐', ' Auto'], dark: ['●', ' Dark'], light: ['○', ' Light'] };

/** What this browser keeps; a browser that keeps nothing is no reason to fail. */
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Then it holds until the page is closed.
  }
}

function setTheme(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  say(byId('theme-mark'), THEMES[theme][0]);
  say(byId('theme-word'), THEMES[theme][1]);
  repaint();
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(document.documentElement.dataset.theme ?? 'system') + 1) % names.length];
  keep(THEME, theme);
  setTheme(theme);
}

/** Moves the focus to the next or previous row. */
function step(by) {
  const rows = [...document.querySelectorAll('#main [data-nav]')].filter((row) => row.getClientRects().length);
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: 'nearest' });
}

function openHelp() {
  byId('help').showModal();
  byId('help-title').focus();
}

const SINGLE = {
  '/': () => byId('search').focus(),
  '?': openHelp,
  j: () => step(1),
  k: () => step(-1),
  f: () => byId('filter').focus(),
  t: nextTheme,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const { target } = event;
  if (event.key === 'Escape' && target.matches('input')) {
    target.value = '';
    target.dispatchEvent(new Event('input', { bubbles: true }));
    target.blur();
    return;
  }
  if (target.matches('input, select, textarea')) return;
  if (target.matches('[data-nav]') && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
    event.preventDefault();
    step(event.key === 'ArrowDown' ? 1 : -1);
  } else if (SINGLE[event.key] && byId('keys-on').checked) {
    event.preventDefault();
    SINGLE[event.key]();
  }
}

export function startKeys() {
  const theme = kept(THEME);
  setTheme(Object.hasOwn(THEMES, theme ?? '') ? theme : 'system');
  byId('theme').addEventListener('click', nextTheme);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  byId('keys-on').checked = kept(KEYS) !== 'off';
  byId('keys-on').addEventListener('change', () => keep(KEYS, byId('keys-on').checked ? 'on' : 'off'));
  byId('help-open').addEventListener('click', openHelp);
  byId('help-close').addEventListener('click', () => byId('help').close());
  document.addEventListener('keydown', pressed);
}
