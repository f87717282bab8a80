// An SMTP server on loopback (npm smtp-server), for the tests only. Settings come as JSON in MAIL_SETTINGS: cert, key (PEM files), tls
// ("tls" or "starttls"), user (none: everybody may send), password, and refuse (an answer to every recipient). Prints "ready PORT", then each mail as one line of JSON.
import { readFileSync } from 'node:fs';
import { SMTPServer } from 'smtp-server';

const settings = JSON.parse(process.env.MAIL_SETTINGS);
const secure = settings.tls === 'tls';
const server = new SMTPServer({
  cert: settings.cert && readFileSync(settings.cert),
  key: settings.key && readFileSync(settings.key),
  secure,
  hideSTARTTLS: !secure && !settings.cert,
  allowInsecureAuth: false,
  authOptional: !settings.user,
  authMethods: ['PLAIN', 'LOGIN'],
  onAuth(auth, session, callback) {
    const fits = session.secure && auth.username === settings.user && auth.password === settings.password;
    callback(fits ? null : new Error('wrong'), fits ? { user: auth.username } : undefined);
  },
  onRcptTo(address, session, callback) {
    callback(settings.refuse ? Object.assign(new Error('no such mailbox'), { responseCode: 550 }) : null);
  },
  onData(stream, session, callback) {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => {
      const { mailFrom, rcptTo } = session.envelope;
      const to = rcptTo.map((one) => one.address);
      console.log(JSON.stringify({ secure: session.secure, from: mailFrom.address, to, raw: Buffer.concat(parts).toString() }));
      callback();
    });
  },
});
server.on('error', () => {});
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.server.address().port}`));
