// Runs the JavaScript functions of one service, one call at a time, for the runtime host.
//
// Needs Node.js 18 and nothing but its standard library. The host starts `worker.js <socket>`
// and listens on that socket; services/runtime/src/protocol.rs describes the frames.
//
// A handler is `handler(event, context, callback)`, exported by a CommonJS or ES module. `event`
// is the payload as JSON when it is JSON, a Buffer when not. `context` holds the caller's
// metadata with `serviceName`, `functionName`, `invokeId` and `deadline_ms`. The answer is what
// is returned, what the promise gives, or what `callback(error, result)` gets; the first counts.
// Buffers go out as they are, null and undefined are empty, the rest is JSON. Generators of both
// kinds and readable streams stream what they yield.
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const PROTOCOL = 1;

const LOAD = 0x01;
const CALL = 0x02;
const CANCEL = 0x03;
const HELLO = 0x11;
const LOADED = 0x12;
const LOAD_ERROR = 0x13;
const RESULT = 0x14;
const CHUNK = 0x15;
const ERROR = 0x16;
const LOG = 0x17;
const DROPPED = 0x18;

const MAX_LINE = 16 * 1024;
const MAX_STACK = 16 * 1024;
const MAX_MESSAGE = 4 * 1024;
const MAX_TYPE = 256;
// Captured output that may wait in this process; a function that floods it loses lines.
const MAX_WAITING_BYTES = 1024 * 1024;

class NotEncodable extends Error {}
class TooLarge extends Error {}
class Cancelled extends Error {}

// Frames to the host: length, kind, body.
class Channel {
  constructor(socket) {
    this.socket = socket;
    this.dropped = 0n;
  }

  // Sends one frame; false when the host does not keep up.
  send(kind, ...parts) {
    const head = Buffer.allocUnsafe(5);
    head.writeUInt32BE(1 + parts.reduce((sum, part) => sum + part.length, 0), 0);
    head[4] = kind;
    this.socket.cork();
    this.socket.write(head);
    let goesOn = true;
    for (const part of parts) {
      if (part.length > 0) goesOn = this.socket.write(part);
    }
    this.socket.uncork();
    return goesOn;
  }

  sendJson(kind, value) {
    this.send(kind, Buffer.from(JSON.stringify(value)));
  }

  // Sends captured output, or counts it when too much waits already.
  log(stream, owner, text) {
    if (this.socket.writableLength > MAX_WAITING_BYTES) {
      this.dropped += 1n;
      return;
    }
    if (this.dropped > 0n) {
      const count = Buffer.allocUnsafe(8);
      count.writeBigUInt64BE(this.dropped);
      this.dropped = 0n;
      this.send(DROPPED, count);
    }
    const id = Buffer.from(owner).subarray(0, 255);
    this.send(LOG, Buffer.from([stream, id.length]), id, Buffer.from(text));
  }

  drained() {
    return new Promise((resolve) => this.socket.once('drain', resolve));
  }
}

// Cuts what comes from the host into frames.
class Frames {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.pieces = [];
    this.length = 0;
  }

  push(piece) {
    this.pieces.push(piece);
    this.length += piece.length;
    while (this.length >= 5) {
      const head = this.peek(5);
      const end = 4 + head.readUInt32BE(0);
      if (this.length < end) return;
      const frame = this.peek(end);
      this.pieces[0] = this.pieces[0].subarray(end);
      this.length -= end;
      this.onFrame(frame[4], frame.subarray(5));
    }
  }

  // The first bytes as one piece. Pieces of a large frame are joined once, when it is whole.
  peek(count) {
    if (this.pieces[0].length < count) this.pieces = [Buffer.concat(this.pieces)];
    return this.pieces[0].subarray(0, count);
  }
}

// Output of one stream: whole lines become frames of their call.
class Output {
  constructor(worker, number) {
    this.worker = worker;
    this.number = number;
    this.partial = '';
    this.owner = '';
  }

  write(chunk, encoding, done) {
    const callback = typeof encoding === 'function' ? encoding : done;
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    const owner = this.worker.owner();
    if (owner !== this.owner) {
      this.endLine();
      this.owner = owner;
    }
    const end = text.lastIndexOf('\n');
    if (end >= 0) {
      this.worker.channel.log(this.number, this.owner, this.partial + text.slice(0, end));
      this.partial = text.slice(end + 1);
    } else {
      this.partial += text;
    }
    if (this.partial.length > MAX_LINE) this.endLine();
    if (typeof callback === 'function') process.nextTick(callback);
    return true;
  }

  endLine() {
    if (this.partial === '') return;
    const text = this.partial;
    this.partial = '';
    this.worker.channel.log(this.number, this.owner, text);
  }
}

class Worker {
  constructor(channel) {
    this.channel = channel;
    this.invocation = new AsyncLocalStorage();
    this.active = null;
    this.functions = [];
    this.folder = '';
    this.maxPayload = 0;
    this.outputs = [new Output(this, 1), new Output(this, 2)];
  }

  // The invocation that the running code belongs to, also after its call has ended.
  owner() {
    return this.invocation.getStore() ?? this.active?.invocation ?? '';
  }

  captureOutput() {
    process.stdout.write = (...args) => this.outputs[0].write(...args);
    process.stderr.write = (...args) => this.outputs[1].write(...args);
    // An error that nobody can catch leaves the process in a state that nobody knows.
    process.on('uncaughtException', (error) => this.collapse(error));
  }

  onFrame(kind, body) {
    if (kind === LOAD) {
      this.load(JSON.parse(body.toString('utf8')));
    } else if (kind === CALL) {
      this.call(body);
    } else if (kind === CANCEL) {
      const id = body.readBigUInt64BE(0);
      // A cancel that comes after its call is stale.
      if (this.active?.id === id) this.active.abort.abort(new Cancelled('the caller went away'));
    }
    // Later hosts may send more kinds.
  }

  async load(request) {
    this.folder = request.codeFolder;
    this.maxPayload = request.maxPayload;
    for (const { name, handler } of request.functions) {
      try {
        this.functions.push(await this.import(handler));
      } catch (error) {
        this.endLines();
        this.channel.sendJson(LOAD_ERROR, { function: name, ...this.describe(error) });
        return;
      }
    }
    this.endLines();
    this.channel.sendJson(LOADED, {});
  }

  async import(handler) {
    const dot = handler.lastIndexOf('.');
    const [module, name] = [handler.slice(0, dot), handler.slice(dot + 1)];
    const bases = [module, module.replaceAll('.', '/')];
    const candidates = bases.flatMap((base) => ['.js', '.mjs', '.cjs'].map((end) => base + end));
    const file = candidates
      .map((candidate) => path.join(this.folder, candidate))
      .find((candidate) => fs.existsSync(candidate));
    if (file === undefined) throw new Error(`there is no module ${module} (.js, .mjs or .cjs)`);
    const loaded = await import(pathToFileURL(file));
    const found = loaded[name] ?? loaded.default?.[name];
    if (typeof found !== 'function') throw new TypeError(`${handler} is not a function`);
    return found;
  }

  async call(body) {
    const id = body.readBigUInt64BE(0);
    const start = 12 + body.readUInt32BE(8);
    const header = JSON.parse(body.toString('utf8', 12, start));
    const call = {
      id,
      invocation: header.context.invokeId ?? '',
      isStream: header.stream,
      abort: new AbortController(),
      began: process.hrtime.bigint(),
      isEnded: false,
    };
    this.active = call;
    let kind = RESULT;
    let end;
    try {
      const event = decode(body.subarray(start));
      const context = makeContext(header, call.abort.signal);
      const handler = this.functions[header.function];
      end = await this.invocation.run(call.invocation, () =>
        this.run(call, handler, event, context),
      );
    } catch (error) {
      kind = ERROR;
      end = Buffer.from(JSON.stringify(this.failure(call, error)));
    }
    this.finish(call, kind, end);
  }

  finish(call, kind, end) {
    if (call.isEnded) return;
    call.isEnded = true;
    this.endLines();
    this.active = null;
    const head = Buffer.allocUnsafe(16);
    head.writeBigUInt64BE(call.id, 0);
    head.writeBigUInt64BE((process.hrtime.bigint() - call.began) / 1000n, 8);
    this.channel.send(kind, head, end);
  }

  failure(call, error) {
    if (call.abort.signal.aborted) return { kind: 'cancelled' };
    const message = String(error?.message ?? '').slice(0, MAX_MESSAGE);
    if (error instanceof NotEncodable) return { kind: 'not_encodable', message };
    if (error instanceof TooLarge) return { kind: 'too_large', message };
    return this.describe(error);
  }

  async run(call, handler, event, context) {
    const value = await settle(handler, event, context);
    const values = iterator(value);
    if (values === undefined) return this.encode(value);
    try {
      for (;;) {
        const { done, value: next } = await values.next();
        if (done) return Buffer.alloc(0);
        if (call.abort.signal.aborted) throw new Cancelled();
        await this.sendValue(call, next);
      }
    } finally {
      // Lets the generator clean up; one that is done already takes no notice.
      await values.return?.();
    }
  }

  async sendValue(call, value) {
    const parts = [this.encode(value)];
    // The caller wants one answer: JSON values come as lines, bytes as they are.
    if (!call.isStream && !isBytes(value)) parts.push(Buffer.from('\n'));
    const id = Buffer.allocUnsafe(8);
    id.writeBigUInt64BE(call.id);
    if (!this.channel.send(CHUNK, id, ...parts)) await this.channel.drained();
  }

  encode(value) {
    const data = encode(value);
    if (data.length > this.maxPayload) {
      throw new TooLarge(`${data.length} bytes, ${this.maxPayload} are allowed`);
    }
    return data;
  }

  // The error as the user's code threw it, which need not be an Error.
  describe(error) {
    const isError = error instanceof Error || typeof error?.stack === 'string';
    const type = isError ? String(error.name ?? error.constructor?.name ?? 'Error') : typeof error;
    const message = isError ? String(error.message) : printed(error);
    const lines = isError ? String(error.stack).split('\n') : [];
    const stack = lines
      .filter((line) => !/^\s+at /.test(line) || !isForeign(line))
      .join('\n')
      .replaceAll(`${pathToFileURL(this.folder)}/`, '')
      .replaceAll(`${this.folder}/`, '');
    return {
      kind: 'raised',
      type: type.slice(0, MAX_TYPE),
      message: message.slice(0, MAX_MESSAGE),
      stack: stack.slice(0, MAX_STACK),
    };
  }

  collapse(error) {
    const call = this.active;
    if (call !== null) {
      this.finish(call, ERROR, Buffer.from(JSON.stringify(this.failure(call, error))));
    } else {
      const { stack, message } = this.describe(error);
      this.outputs[1].write(`uncaught: ${stack || message}\n`);
    }
    this.channel.socket.end(() => process.exit(1));
  }

  endLines() {
    for (const output of this.outputs) output.endLine();
  }
}

function makeContext(header, signal) {
  const deadline = Date.now() + header.timeoutMs;
  const context = { ...header.context, deadline_ms: header.timeoutMs };
  Object.defineProperty(context, 'signal', { value: signal });
  Object.defineProperty(context, 'remainingMs', {
    value: () => Math.max(0, deadline - Date.now()),
  });
  return context;
}

// What the handler gives: by return, promise or callback, whichever is first.
function settle(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error);
    };
    const returned = handler(event, context, callback);
    // Nothing returned by a function that wants the callback: it will be called.
    if (returned === undefined && handler.length >= 3) return;
    resolve(returned);
  });
}

function iterator(value) {
  if (value === null || typeof value !== 'object') return undefined;
  if (typeof value[Symbol.asyncIterator] === 'function') return value[Symbol.asyncIterator]();
  // Arrays are values; generators have a `next` of their own.
  if (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function') return value;
  return undefined;
}

function isBytes(value) {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}

// The payload as JSON if it is, as a Buffer if not.
function decode(payload) {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return payload;
  }
}

// The bytes of an answer. What one function returns is what the next one gets as event.
function encode(value) {
  if (value === null || value === undefined) return Buffer.alloc(0);
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new NotEncodable(String(error?.message ?? error));
  }
  if (text === undefined) throw new NotEncodable(`a ${typeof value} has no JSON form`);
  return Buffer.from(text);
}

function printed(value) {
  try {
    return typeof value === 'string' ? value : JSON.stringify(value) ?? String(value);
  } catch {
    return '<the error cannot be printed>';
  }
}

// Whether a line of a stack is of this file or of Node.js itself.
function isForeign(line) {
  return line.includes(__filename) || line.includes('(node:') || line.includes('at node:');
}

function main(socketPath) {
  const socket = net.connect(socketPath);
  const channel = new Channel(socket);
  const worker = new Worker(channel);
  const frames = new Frames((kind, body) => worker.onFrame(kind, body));
  socket.once('connect', () => {
    const version = process.versions.node;
    channel.sendJson(HELLO, { protocol: PROTOCOL, runtime: 'node', version });
    worker.captureOutput();
  });
  socket.on('data', (piece) => frames.push(piece));
  // Without the host there is nothing to do, whatever still runs.
  socket.on('error', () => process.exit(0));
  socket.on('end', () => process.exit(0));
  socket.on('close', () => process.exit(0));
}

main(process.argv[2]);
