// The worker script over a real socket, as the host speaks with it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../worker.js', import.meta.url));

const CODE = `
exports.echo = (event) => event;
exports.shout = function* (event, context) {
  console.log('loud');
  yield event;
  yield { id: context.invokeId };
};
exports.endless = async function* () {
  for (;;) {
    yield 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
};
exports.fails = () => { throw new RangeError('absent'); };
`;

// The host's end of one worker.
class Host {
  static async start(t, handlers) {
    const host = new Host();
    host.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'worker-'));
    fs.writeFileSync(path.join(host.folder, 'code.js'), CODE);
    const socketPath = path.join(host.folder, 's');
    const server = net.createServer();
    server.listen(socketPath);
    await once(server, 'listening');
    host.process = spawn(process.execPath, [SCRIPT, socketPath], { stdio: 'inherit' });
    host.exited = once(host.process, 'exit');
    [host.socket] = await once(server, 'connection');
    server.close();
    host.bytes = Buffer.alloc(0);
    host.socket.on('data', (piece) => {
      host.bytes = Buffer.concat([host.bytes, piece]);
      host.wake?.();
    });
    t.after(async () => {
      await host.close();
      fs.rmSync(host.folder, { recursive: true });
    });
    host.hello = await host.receive();
    const functions = handlers.map((name) => ({ name, handler: name }));
    host.send(0x01, JSON.stringify({ codeFolder: host.folder, maxPayload: 1000, functions }));
    return host;
  }

  send(kind, body) {
    const bytes = Buffer.from(body);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length + 1);
    head[4] = kind;
    this.socket.write(Buffer.concat([head, bytes]));
  }

  async receive() {
    const whole = () => this.bytes.length >= 5 && this.bytes.length >= 4 + this.bytes.readUInt32BE();
    while (!whole()) await new Promise((resolve) => { this.wake = resolve; });
    const end = 4 + this.bytes.readUInt32BE();
    const frame = this.bytes.subarray(0, end);
    this.bytes = this.bytes.subarray(end);
    return [frame[4], frame.subarray(5)];
  }

  call(number, index, payload) {
    const context = { invokeId: `i${number}` };
    const header = { function: index, stream: true, timeoutMs: 60000, context };
    const text = Buffer.from(JSON.stringify(header));
    const head = Buffer.alloc(12);
    head.writeBigUInt64BE(BigInt(number));
    head.writeUInt32BE(text.length, 8);
    this.send(0x02, Buffer.concat([head, text, Buffer.from(payload)]));
  }

  async close() {
    this.socket.destroy();
    const [code] = await this.exited;
    return code;
  }
}

function id(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

test('the worker says who it is and loads its functions', async (t) => {
  const host = await Host.start(t, ['code.echo']);

  assert.equal(host.hello[0], 0x11);
  assert.equal(JSON.parse(host.hello[1]).protocol, 1);
  assert.equal((await host.receive())[0], 0x12);
});

test('a function that is not there is named', async (t) => {
  const host = await Host.start(t, ['code.echo', 'code.absent']);

  const [kind, body] = await host.receive();

  assert.equal(kind, 0x13);
  assert.equal(JSON.parse(body).function, 'code.absent');
});

test('values and output come before the end', async (t) => {
  const host = await Host.start(t, ['code.shout']);
  await host.receive();

  host.call(8, 0, '1');

  assert.deepEqual(await host.receive(), [0x17, Buffer.from('\x01\x02i8loud')]);
  assert.deepEqual(await host.receive(), [0x15, Buffer.concat([id(8), Buffer.from('1')])]);
  const second = Buffer.concat([id(8), Buffer.from('{"id":"i8"}')]);
  assert.deepEqual(await host.receive(), [0x15, second]);
  const [kind, body] = await host.receive();
  assert.equal(kind, 0x14);
  assert.equal(body.length, 16);
});

test('a cancelled generator ends its call', async (t) => {
  const host = await Host.start(t, ['code.endless']);
  await host.receive();
  host.call(9, 0, '');
  await host.receive();

  host.send(0x03, id(9));

  let frame = await host.receive();
  while (frame[0] === 0x15) frame = await host.receive();
  assert.equal(frame[0], 0x16);
  assert.equal(JSON.parse(frame[1].subarray(16)).kind, 'cancelled');
});

test('an error tells type and message, and a large answer is refused', async (t) => {
  const host = await Host.start(t, ['code.fails', 'code.echo']);
  await host.receive();

  host.call(1, 0, '');
  const failure = JSON.parse((await host.receive())[1].subarray(16));
  host.call(2, 1, JSON.stringify('x'.repeat(2000)));
  const large = JSON.parse((await host.receive())[1].subarray(16));

  assert.equal(failure.type, 'RangeError');
  assert.match(failure.stack, /code\.js:\d+/);
  assert.equal(large.kind, 'too_large');
});

test('the worker ends with its socket', async (t) => {
  const host = await Host.start(t, ['code.echo']);
  await host.receive();

  assert.equal(await host.close(), 0);
});
