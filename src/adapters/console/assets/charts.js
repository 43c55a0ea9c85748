// Draws: the rate of events, the last minute of a credential, sparklines, bars of windows.
/* global uPlot */

const SVG = 'http://www.w3.org/2000/svg';
const drawn = new Set();
let probe = null;

/** A colour of the style sheet, as the canvas needs it. */
function colour(name) {
  if (!probe) {
    probe = document.createElement('span');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** Redraws all charts, in the colours of the theme. */
export function repaint() {
  for (const chart of drawn) chart.redraw(false);
}

const axis = (more) => ({
  stroke: () => colour('--muted'),
  font: '11px system-ui, sans-serif',
  grid: { stroke: () => colour('--line'), width: 1 },
  ticks: { show: false },
  ...more,
});

function plot(holder, height, options, data) {
  const size = () => ({ width: Math.max(120, holder.clientWidth), height });
  const chart = new uPlot({
    ...size(), legend: { show: false }, cursor: { show: false }, padding: [6, 16, 0, 0], ...options,
  }, data, holder);
  const watcher = new ResizeObserver(() => chart.setSize(size()));
  watcher.observe(holder);
  drawn.add(chart);
  return {
    set: (values) => chart.setData(values),
    end() {
      watcher.disconnect();
      drawn.delete(chart);
      chart.destroy();
    },
  };
}

const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));
const upTo = (least) => (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.1)];

/** The rate of events; `set([times in seconds, rates])`. */
export function rateChart(holder) {
  const ago = (_, splits) => {
    const end = Date.now() / 1000;
    return splits.map((at) => (end - at < 20 ? 'now' : `−${Math.round((end - at) / 60)} min`));
  };
  return plot(holder, 74, {
    scales: { x: { time: false, range: () => [Date.now() / 1000 - 300, Date.now() / 1000] }, y: { range: upTo(5) } },
    axes: [
      axis({ size: 18, gap: 2, splits: () => (holder.clientWidth < 300 ? [4, 2, 0] : [4, 3, 2, 1, 0]).map((m) => Date.now() / 1000 - m * 60), values: ago, grid: { show: false } }),
      axis({ size: 44, gap: 4, space: 24, incrs: WHOLE, values: (_, splits) => splits.map((v) => (v >= 1000 ? `${v / 1000}k` : String(v))) }),
    ],
    series: [{}, {
      stroke: () => colour('--accent'), fill: () => colour('--accent-wash'), width: 1.5, points: { show: false },
    }],
  }, [[], []]);
}

/** The last 60 seconds of a credential; `set([seconds, counts, expected, peak])`. */
export function secondsChart(holder) {
  return plot(holder, 150, {
    scales: { x: { time: false, range: () => [-60, 0.5] }, y: { range: upTo(4) } },
    axes: [
      axis({ size: 20, gap: 2, values: (_, splits) => splits.map((s) => (s === 0 ? 'now' : `${s} s`)), grid: { show: false } }),
      axis({ size: 44, gap: 4, space: 28, incrs: WHOLE }),
    ],
    series: [
      {},
      { stroke: () => colour('--accent'), fill: () => colour('--bars'), width: 0, paths: uPlot.paths.bars({ size: [0.8, 12] }), points: { show: false } },
      { stroke: () => colour('--good'), width: 1.5, dash: [5, 4], points: { show: false } },
      { stroke: () => colour('--bad'), width: 1.5, dash: [2, 3], points: { show: false } },
    ],
  }, [[], [], [], []]);
}

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** A sparkline of 60 seconds with the expected level. The numbers are next to it. */
export function sparkline() {
  const node = svg('svg', { viewBox: '0 0 120 24', class: 'spark', 'aria-hidden': 'true', preserveAspectRatio: 'none' });
  node.append(
    svg('path', { class: 'fill', d: '' }),
    svg('line', { class: 'expected', x1: 0, x2: 120, y1: 23, y2: 23 }),
    svg('path', { class: 'trace', d: '' }),
  );
  return node;
}

export function setSparkline(node, counts, expected) {
  const most = Math.max(4, expected * 2, ...counts);
  const y = (value) => (23 - (22 * value) / most).toFixed(1);
  const step = 120 / Math.max(1, counts.length - 1);
  const path = counts.map((count, at) => `${at ? 'L' : 'M'}${(at * step).toFixed(1)} ${y(count)}`).join('');
  const [fill, level, trace] = node.children;
  if (trace.getAttribute('d') === path) return;
  trace.setAttribute('d', path);
  fill.setAttribute('d', path && `${path}L120 24L0 24Z`);
  level.setAttribute('y1', y(expected));
  level.setAttribute('y2', y(expected));
}

/** A bar for a window: the count, with marks where the expected and the peak are. */
export function windowBar() {
  const node = svg('svg', { viewBox: '0 0 200 14', class: 'window', 'aria-hidden': 'true', preserveAspectRatio: 'none' });
  node.append(
    svg('rect', { class: 'track', x: 0, y: 3, width: 200, height: 8 }),
    svg('rect', { class: 'count', x: 0, y: 3, width: 0, height: 8 }),
    svg('rect', { class: 'expected', x: 0, y: 0, width: 2, height: 14 }),
    svg('rect', { class: 'peak', x: 0, y: 0, width: 2, height: 14 }),
  );
  return node;
}

export function setWindowBar(node, { count, expected, peak }) {
  const most = Math.max(count, expected, peak, 1);
  const x = (value) => ((196 * value) / most).toFixed(1);
  const [, bar, usual, top] = node.children;
  bar.setAttribute('width', x(count));
  bar.setAttribute('class', count > peak && count > 1 ? 'count above' : 'count');
  usual.setAttribute('x', x(expected));
  top.setAttribute('x', x(peak));
}
