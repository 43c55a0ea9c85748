// Knows what looks like a secret, so that a pasted one is not sent without a warning.

// The prefixes of src/wire/secret.rs: what the daemon itself would take for a secret.
const PREFIXES = [
  'sk-', 'sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'pk_live_', 'whsec_', 'ghp_', 'gho_', 'ghu_',
  'ghs_', 'ghr_', 'github_pat_', 'glpat-', 'gldt-', 'glrt-', 'xoxa-', 'xoxb-', 'xoxp-', 'xoxr-', 'xoxs-',
  'xapp-', 'AIza', 'ya29.', 'npm_', 'pypi-', 'SG.', 'hf_', 'shpat_', 'shpss_', 'dop_v1_', 'sq0',
  'AGE-SECRET-KEY-', '-----BEGIN', 'lin_api_', 'dckr_pat_', 'gsk_', 'nvapi-',
];
const CHARS_MIN = 16;
const JWT = /^[\w-]{8,}\.[\w-]{8,}\.[\w-]*$/;

function bare(text) {
  const kind = /^(api_key|jwt|session|refresh_token|agent_token):/;
  return text.trim().replace(kind, '').replace(/^bearer\s+/i, '');
}

export function looksLikeSecret(text) {
  const id = bare(text);
  if (/^(\w+:)?bearer\s/i.test(text.trim()) || JWT.test(id)) return true;
  return id.length >= CHARS_MIN && PREFIXES.some((prefix) => id.startsWith(prefix));
}

/** The name by which the daemon knows a JWT, `jwt:` and its `jti`; read here, nothing is sent. */
export function nameOfJwt(text) {
  const id = bare(text);
  if (!JWT.test(id)) return null;
  try {
    const payload = id.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const { jti } = JSON.parse(atob(payload));
    return typeof jti === 'string' && jti && !looksLikeSecret(jti) ? `jwt:${jti}` : null;
  } catch {
    return null;
  }
}
