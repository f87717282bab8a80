// パスキーを作る・使う。data-passkey のあるボタンだけが使う。なくても、ほかの第二要素はすべて使える。
"use strict";
(() => {
  const buttons = document.querySelectorAll("button[data-passkey]");
  const can = Boolean(window.PublicKeyCredential && navigator.credentials);
  for (const told of document.querySelectorAll("[data-no-passkey]")) told.hidden = can;
  if (!can) return;

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => {
    const letters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
    return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const known = (ids) => ids.map((id) => ({ type: "public-key", id: bytes(id) }));

  // Asked anew for each try: an answer is good once.
  const ask = async (form, address) => {
    const body = new URLSearchParams({ form_token: form.elements.form_token.value });
    const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.redirected) {
      location.reload();
      throw new Error("");
    }
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.title + "。" + said.detail);
    return said;
  };

  const make = async (form, address) => {
    const asked = await ask(form, address);
    const made = await navigator.credentials.create({
      publicKey: {
        challenge: bytes(asked.challenge),
        rp: { id: asked.rp_id, name: asked.rp_name },
        user: { id: bytes(asked.user_id), name: asked.user_name, displayName: asked.user_name },
        pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: known(asked.exclude),
        authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
        attestation: "none",
        timeout: asked.seconds * 1000,
      },
    });
    form.elements.made_client_data.value = text(made.response.clientDataJSON);
    form.elements.attestation.value = text(made.response.attestationObject);
  };

  const use = async (form, address) => {
    const asked = await ask(form, address);
    const said = await navigator.credentials.get({
      publicKey: {
        challenge: bytes(asked.challenge),
        rpId: asked.rp_id,
        allowCredentials: known(asked.allow),
        userVerification: "required",
        timeout: asked.seconds * 1000,
      },
    });
    form.elements.credential.value = text(said.rawId);
    form.elements.client_data.value = text(said.response.clientDataJSON);
    form.elements.authenticator_data.value = text(said.response.authenticatorData);
    form.elements.signature.value = text(said.response.signature);
    form.elements.user_handle.value = said.response.userHandle ? text(said.response.userHandle) : "";
  };

  for (const button of buttons) {
    const form = button.form;
    const told = form.querySelector("[data-passkey-told]");
    button.hidden = false;
    button.addEventListener("click", async () => {
      const typed = form.querySelectorAll("[data-with-passkey]");
      for (const input of typed) if (!input.reportValidity()) return;
      button.disabled = true;
      told.textContent = "端末の指示に従ってください。";
      try {
        await (button.dataset.passkey === "make" ? make : use)(form, button.dataset.ask);
        form.submit();
      } catch (error) {
        // The browser's own words are English and for programmers.
        const known_already = error.name === "InvalidStateError";
        const own = error instanceof Error && !(error instanceof DOMException) && error.message;
        told.textContent = known_already
          ? "この端末のパスキーは、もう登録してあります。"
          : own || "パスキーを使えませんでした。もう一度押すか、ほかの方法で確かめてください。";
        button.disabled = false;
      }
    });
  }
})();
