(() => {
  const again = async () => {
    const main = document.querySelector('main');
    if (!('live' in main.dataset)) return;
    if (!document.hidden && !String(getSelection())) {
      try {
        const answer = await fetch(location.href, { cache: 'no-store' });
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        main.replaceWith(page.querySelector('main'));
        document.body.classList.remove('lost');
      } catch {
        document.body.classList.add('lost');
      }
    }
    setTimeout(again, 2000);
  };
  setTimeout(again, 2000);
})();
