// 書いている途中の自動の保存。data-autosave のあるフォームを、書き直されてから 30 秒に1度まで保存する。なくてもすべて使える。
"use strict";
(() => {
  const form = document.querySelector("form[data-autosave]");
  const told = document.getElementById("saved");
  if (!form || !told) return;
  const every = 30000;
  let changed = false;
  let waiting = 0;

  const fields = () => {
    const data = new URLSearchParams(new FormData(form));
    data.set("go", "auto");
    return data;
  };
  const send = () => fetch(form.action, { method: "POST", body: fields(), headers: { Accept: "application/json" } });
  const isAnswer = (answer) => (answer.headers.get("Content-Type") || "").includes("json");

  // After another log-in of the same account in another window the form needs its new token; the version of the draft stays what
  // it was. Somebody else's token is not taken: what was typed here is not theirs.
  const newToken = async () => {
    const page = await fetch(location.href, { headers: { Accept: "text/html" } });
    const other = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("form[data-autosave]");
    if (!other) return "none";
    if (other.elements.writer.value !== form.elements.writer.value) return "other";
    form.elements.form_token.value = other.elements.form_token.value;
    return "own";
  };

  const save = async () => {
    waiting = 0;
    if (!changed) return;
    changed = false;
    try {
      let answer = await send();
      if (answer.redirected || answer.status === 400) {
        const found = await newToken();
        if (found === "own") answer = await send();
        if (found === "other") {
          told.textContent = "別の方がログインしているため、保存していません。この画面に入力した方がログインし直すと、続きから保存されます。";
          changed = true;
          later();
          return;
        }
      }
      if (answer.ok && isAnswer(answer)) {
        const saved = await answer.json();
        form.elements.version.value = saved.version;
        told.textContent = saved.saved;
        document.dispatchEvent(new Event("kiban-used"));
        return;
      }
      if (answer.redirected) {
        told.textContent = "ログインが終わっています。別のタブでログインすると、この画面の続きから保存されます。";
      } else {
        const problem = await answer.json();
        told.textContent = "保存できませんでした。" + problem.title + "。";
        // Trying the same again changes nothing; the next stroke of the pen does.
        changed = true;
        return;
      }
    } catch {
      told.textContent = "通信できないため、まだ保存していません。つながると保存します。";
    }
    changed = true;
    later();
  };
  const later = () => {
    if (!waiting) waiting = setTimeout(save, every);
  };
  form.addEventListener("input", () => {
    changed = true;
    later();
  });
})();
