// The console's only script: counts down, keeps waiting pages fresh, follows and replays sessions. Whatever comes from
// afar is written as text (textContent), never as markup. Every page works without it, but for the replay.
'use strict';

const go = document.querySelector('[data-go-on]');
if (go) location.replace(go.getAttribute('href'));

// Countdowns -----------------------------------------------------------------------------------------------------
const left = (ms) => {
  if (ms <= 0) return 'over';
  const s = Math.floor(ms / 1000), h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  if (h > 0) return `${h} h ${String(m).padStart(2, '0')} min`;
  return `${m} min ${String(s % 60).padStart(2, '0')} s`;
};
const tick = () => {
  for (const time of document.querySelectorAll('time[data-countdown]')) {
    time.textContent = left(Date.parse(time.dateTime) - Date.now());
    time.title = new Date(time.dateTime).toLocaleString();
  }
};
for (const time of document.querySelectorAll('time:not([data-countdown])')) {
  time.textContent = new Date(time.dateTime).toLocaleString();
  time.title = time.dateTime;
}
tick();
setInterval(tick, 1000);

// A page that waits for others is loaded anew, unless somebody is writing in it or has left it for what comes next.
const waiting = document.querySelector('[data-reload]');
if (waiting) {
  let left = false;
  addEventListener('beforeunload', () => { left = true; });
  addEventListener('pageshow', () => { left = false; });
  const seconds = Number(waiting.dataset.reload) || 15;
  setInterval(() => {
    const active = document.activeElement;
    const busy = active && ['INPUT', 'TEXTAREA', 'SELECT'].includes(active.tagName);
    if (!busy && !left && !document.hidden) location.reload();
  }, seconds * 1000);
}

// Replay and follow ----------------------------------------------------------------------------------------------
const replay = document.getElementById('replay');
if (replay) {
  const list = document.getElementById('steps');
  const timeline = document.getElementById('timeline');
  const clock = document.getElementById('clock');
  const play = document.getElementById('play');
  const speed = document.getElementById('speed');
  const state = document.getElementById('replay-state');
  const live = replay.dataset.live === 'true';
  const STEPS_MAX = 20000;
  const steps = [];
  let first = null, next = 0, timer = null, following = live;

  const say = {
    opened: (s) => ['opened', `${s.subject_name ?? ''} ${s.kind ?? ''} ${s.connection ?? ''} via ${s.grant ?? ''}`.trim()],
    query: (s) => ['query', s.sql],
    parse: (s) => ['prepare', s.sql],
    bind: (s) => ['bind', (s.parameters ?? []).map((p) => p ?? 'NULL').join(', ')],
    execute: (s) => ['execute', s.sql ?? s.portal],
    close: (s) => ['close', s.name],
    decision: (s) => [s.outcome, `${s.sentence}${s.rule ? ` (${s.rule}${s.place ? `, ${s.place}` : ''})` : ''}`],
    columns: (s) => ['columns', s.names.join(' | ')],
    row: (s) => ['row', s.values.map((v) => v ?? 'NULL').join(' | ')],
    done: (s) => ['done', s.tag],
    report: (s) => [s.severity.toLowerCase(), `${s.message} (${s.code})`],
    copy: (s) => ['copy', s.data],
    rows_omitted: (s) => ['rows', `${s.rows} rows of ${s.bytes} bytes are not recorded at this level`],
    reauthorised: (s) => ['policy', `goes on under commit ${s.commit}`],
    note: (s) => ['note', s.sentence],
    closed: (s) => ['closed', `${s.sentence} (${s.cause})`],
  };

  const cell = (name, text) => {
    const element = document.createElement(name === 'text' ? 'pre' : 'span');
    element.className = name;
    element.textContent = text;
    return element;
  };
  const show = (ms) => `${(ms / 1000).toFixed(1)} s`;

  const add = (step) => {
    if (steps.length >= STEPS_MAX) return;
    const at = Date.parse(step.at);
    first ??= at;
    const [kind, text] = (say[step.type] ?? ((s) => [s.type, '']))(step);
    const item = document.createElement('li');
    item.className = step.type === 'decision' ? step.outcome : step.type === 'report' && kind === 'error' ? 'error'
      : ['query', 'execute', 'parse'].includes(step.type) ? 'query' : ['row', 'columns', 'copy'].includes(step.type) ? 'row-step' : step.type;
    item.append(cell('at', show(at - first)), cell('kind', kind ?? ''), cell('text', text ?? ''));
    list.append(item);
    steps.push({ ms: at - first, item });
  };

  const seek = (ms) => {
    let last = null;
    for (const step of steps) {
      step.item.hidden = step.ms > ms;
      if (!step.item.hidden) last = step.item;
    }
    timeline.value = String(ms);
    clock.textContent = `${show(Number(ms))} of ${show(Number(timeline.max))}`;
    timeline.setAttribute('aria-valuetext', clock.textContent);
    if (last) list.scrollTop = last.offsetTop - list.offsetTop - list.clientHeight + 60;
  };
  const end = () => (steps.length ? steps[steps.length - 1].ms : 0);
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = 'Play';
  };
  play.addEventListener('click', () => {
    if (timer) return stop();
    following = false;
    let at = Number(timeline.value) >= end() ? 0 : Number(timeline.value);
    play.textContent = 'Pause';
    timer = setInterval(() => {
      at += 100 * Number(speed.value);
      seek(Math.min(at, end()));
      if (at >= end()) stop();
    }, 100);
  });
  timeline.addEventListener('input', () => {
    stop();
    following = live && Number(timeline.value) >= end();
    seek(Number(timeline.value));
  });
  document.getElementById('rows').addEventListener('change', (event) => {
    list.classList.toggle('no-rows', !event.target.checked);
  });

  const load = async () => {
    let again = live ? 1000 : null;
    try {
      const answer = await fetch(`${replay.dataset.events}?after=${next}`, { headers: { accept: 'application/json' } });
      if (!answer.ok) throw new Error(answer.status === 401 ? 'sign in again' : 'the recording cannot be read now');
      const part = await answer.json();
      for (const step of part.steps) add(step);
      next = part.next;
      timeline.max = String(end());
      if (following || !live) seek(end());
      if (part.problem) state.textContent = part.problem;
      else state.textContent = part.live ? `Following: ${steps.length} steps.` : `${steps.length} steps. Complete.`;
      if (part.more) again = 0;
      else if (!part.live) {
        again = null;
        if (live) location.reload();
      }
    } catch (error) {
      state.textContent = `Not loaded: ${error.message}`;
      if (live) again = 5000;
    }
    if (again !== null) setTimeout(load, again);
  };
  load();
}
