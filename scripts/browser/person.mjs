// The identity of a person for the browser's look at /me: settings for `kiban … --provider`, and the same provider that the tests use.
//
// usage: node person.mjs prepare FOLDER PORT                      writes provider.json, client.key
//        node person.mjs serve FOLDER PORT CALLBACK PEOPLE.json   runs it; PEOPLE.json: an exported INSURED file
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const [act, folder, port, callback, insured] = process.argv.slice(2);
if (act === "prepare") {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(`${folder}/client.key`, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const jwk = { ...privateKey.export({ format: "jwk" }), d: undefined, use: "sig", alg: "ES256", kid: "own" };
  writeFileSync(`${folder}/client.jwk`, JSON.stringify(jwk));
  const settings = { issuer: `https://localhost:${port}`, client_id: "browser", key: "client.key", key_id: "own", ca: "ca.pem", acr: "any" };
  writeFileSync(`${folder}/provider.json`, JSON.stringify(settings));
} else {
  const day = (text) => text.replace(/(\d{4})(\d\d)(\d\d)/, "$1-$2-$3");
  const people = Object.fromEntries(JSON.parse(readFileSync(insured, "utf8")).map((row) => [row["被保険者番号"], {
    name: row["氏名"], address: { formatted: row["住所"] }, birthdate: day(row["生年月日"]), gender: row["性別"] === "1" ? "male" : "female",
  }]));
  process.env.PROVIDER_SETTINGS = JSON.stringify({
    port: Number(port), cert: `${folder}/cert.pem`, key: `${folder}/key.pem`, people, alg: "ES256",
    client: { client_id: "browser", redirect_uri: callback, alg: "ES256", jwk: JSON.parse(readFileSync(`${folder}/client.jwk`, "utf8")) },
  });
  await import("./provider.mjs");
}
