// Reads the facts that the tests check from a page. It runs through the debugger, so the
// page's policy, which allows no script, does not block it.
(() => {
  const rgb = (text) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const c = canvas.getContext('2d', {willReadFrequently: true});
    c.fillStyle = text;
    c.fillRect(0, 0, 1, 1);
    return [...c.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const cache = new Map();
  const colour = (text) => { if (!cache.has(text)) cache.set(text, rgb(text)); return cache.get(text); };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255, 255];
  };
  const contrast = (e) => {
    const a = luminance(colour(getComputedStyle(e).color)), b = luminance(behind(e));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const shown = (e) => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && e.getBoundingClientRect().width > 0;
  const name = (e) => e.tagName.toLowerCase() + (e.className ? '.' + e.className : '') + ' ' + e.textContent.trim().slice(0, 60);
  const root = document.documentElement;
  const facts = {
    Title: document.title, Hacked: 'hacked' in window, Scroll: root.scrollWidth, Client: root.clientWidth, Text: document.body.innerText,
    Wide: [], Cut: [], Labels: [], Contrast: [], Texts: 0, Links: [], Markup: {}, Handlers: [],
    Refresh: document.querySelector('meta[http-equiv=refresh]')?.content ?? '', Stylesheets: document.styleSheets.length,
  };
  for (const e of document.querySelectorAll('*')) {
    const tag = e.tagName.toLowerCase();
    facts.Markup[tag] = (facts.Markup[tag] ?? 0) + 1;
    for (const a of e.attributes) if (a.name.startsWith('on') || a.name === 'style' || a.name === 'src') facts.Handlers.push(tag + ' ' + a.name);
  }
  for (const a of document.querySelectorAll('a')) facts.Links.push(a.href);
  for (const e of document.body.querySelectorAll('*')) {
    if (!shown(e) || e.closest('thead') && getComputedStyle(e.closest('thead')).position === 'absolute') continue;
    const box = e.getBoundingClientRect();
    if (box.right > root.clientWidth + 0.5 || box.left < -0.5) facts.Wide.push(name(e));
    const style = getComputedStyle(e);
    if (style.overflow !== 'visible' && (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight)) facts.Cut.push(name(e));
    if ([...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) {
      facts.Texts++;
      if (contrast(e) < 4.5) facts.Contrast.push(contrast(e).toFixed(2) + ' ' + name(e));
    }
  }
  for (const e of document.querySelectorAll('.label')) {
    facts.Labels.push({Text: e.innerText, Class: e.className, Contrast: contrast(e), Visible: shown(e)});
  }
  return facts;
})()
