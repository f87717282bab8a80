// 操作がないまま終わる2分前に知らせる。続けるのは人がボタンを押したときだけで、この文が基盤に何かを送り続けることはない。
"use strict";
(() => {
  const box = document.getElementById("idle");
  const form = box && box.querySelector("form");
  if (!form) return;
  const [words, button] = [box.querySelector("p"), form.querySelector("button")];
  const whole = Number(box.dataset.minutes) * 60000;
  const before = 120000;
  let ends = Date.now() + whole;

  // Another window of the same log-in was used: nothing but that is told.
  const others = "BroadcastChannel" in window ? new BroadcastChannel("kiban-idle") : null;
  const begin = () => {
    ends = Date.now() + whole;
    box.hidden = true;
  };
  const used = () => {
    begin();
    if (others) others.postMessage("used");
  };
  if (others) others.addEventListener("message", begin);
  document.addEventListener("kiban-used", used);
  used();

  const look = () => {
    const left = ends - Date.now();
    if (left > before) return;
    if (left > 0) {
      const text = "操作がないため、あと" + (left > 60000 ? "2分" : "1分") + "ほどでログインが終わります。";
      if (box.hidden || words.textContent !== text) words.textContent = text;
      button.hidden = false;
    } else {
      words.textContent = "操作がなかったため、ログインが終わりました。入力したものは、いつものボタンで送ると、ログインし直したあとに続けられます（ファイルは選び直してください）。";
      button.hidden = true;
    }
    box.hidden = false;
  };
  setInterval(look, 1000);
  // A computer that slept tells it at once.
  document.addEventListener("visibilitychange", look);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      if (answer.ok && !answer.redirected) return used();
      ends = 0;
      look();
    } catch {
      words.textContent = "通信できません。つながっているか確かめて、もう一度押してください。";
    }
  });
})();
