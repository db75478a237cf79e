(() => {
  // How long the page waits for an answer.
  const PATIENCE = 10_000;
  // How long the page waits before it asks for a missing picture again.
  const GONE = 60_000;
  // How long a press counts at most: browsers do not report the end of each press.
  const PRESS = 5_000;
  const gone = new Map();
  let main = document.querySelector('main');
  let shown = main.innerHTML;
  let pressed = 0;
  let timer;

  // A refresh must not replace the page while the reader has selected text, or presses or drags something.
  const isInHand = () => Date.now() - pressed < PRESS || String(getSelection());
  const press = () => { pressed = Date.now(); };
  const release = () => { pressed = 0; };
  const listen = (act, ...names) => names.forEach((name) => addEventListener(name, act, { capture: true, passive: true }));
  listen(press, 'mousedown', 'touchstart');
  listen(release, 'mouseup', 'dragend', 'contextmenu', 'touchend', 'touchcancel');

  // Upstreams keep pictures for a day or so. The style sheet decides what is shown in place of a missing picture.
  const hide = (img) => {
    img.classList.add('gone');
    img.removeAttribute('src');
  };
  const miss = (img) => {
    gone.set(img.getAttribute('src'), Date.now());
    hide(img);
  };
  const isGone = (img) => Date.now() - gone.get(img.getAttribute('src')) < GONE;
  const isBroken = (img) => img.complete && !img.naturalWidth && img.getAttribute('src');

  // Scroll positions, open folds and the focus of a section are carried over to the new section with the same id.
  const boxes = (section) => [section, ...section.querySelectorAll('.scroll, pre')];
  const folds = (section) => [...section.querySelectorAll('details')];
  const focusIn = (section) => {
    const at = document.activeElement;
    if (!section.contains(at)) return () => undefined;
    const href = at.getAttribute('href');
    const place = [...section.querySelectorAll('*')].indexOf(at);
    return (next) => (href && next.querySelector(`[href="${CSS.escape(href)}"]`)) || next.querySelectorAll('*')[place];
  };
  const show = (next) => {
    const html = next.innerHTML;
    const before = [...main.querySelectorAll('section')].map((section) => ({
      id: section.id,
      places: boxes(section).map((box) => [box.scrollLeft, box.scrollTop]),
      open: folds(section).map((fold) => fold.open),
      focus: focusIn(section),
    }));
    [...next.querySelectorAll('img')].filter(isGone).forEach(hide);
    main.replaceWith(next);
    [main, shown] = [next, html];
    for (const { id, places, open, focus } of before) {
      const section = document.getElementById(id);
      if (!section) continue;
      folds(section).forEach((fold, n) => { fold.open = open[n] ?? fold.open; });
      boxes(section).forEach((box, n) => { if (places[n]) [box.scrollLeft, box.scrollTop] = places[n]; });
      focus(section)?.focus({ preventScroll: true });
    }
  };

  const again = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (!document.hidden && !isInHand()) {
      try {
        // Not `href`, because `fetch` refuses a URL with a user and password.
        const url = location.origin + location.pathname + location.search;
        const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const next = page.querySelector('main[data-live]');
        if (!next) throw new TypeError('this page is not ours: a proxy\'s, say');
        if (!isInHand()) {
          main.dataset.live = next.dataset.live;
          if (next.innerHTML !== shown) show(next);
          document.title = page.title;
        }
        document.body.classList.remove('lost');
      } catch {
        document.body.classList.add('lost');
      }
    }
    timer = setTimeout(again, main.dataset.live);
  };

  // Errors do not bubble, and some pictures failed before the listener was there.
  document.addEventListener('error', ({ target }) => { if (target.matches?.('main img')) miss(target); }, true);
  main.querySelectorAll('img').forEach((img) => { if (isBroken(img)) miss(img); });
  document.addEventListener('visibilitychange', () => { if (timer && !document.hidden) again(); });
  timer = setTimeout(again, main.dataset.live);
})();
