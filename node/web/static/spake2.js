// SPAKE2 of the side that begins, over integers modulo a prime of 3072 bits, as Python's `spake2` has it.
//
// The numbers are that library's: prime P, order Q of the subgroup, generator G, and M and N, which it
// makes by hashing "M" and "N" into the subgroup, so that nobody knows their logarithms.

const number = (hex) => BigInt(`0x${hex}`);
const P = number(
  "90066455b5cfc38f9caa4a48b4281f292c260feef01fd61037e56258a7795a1c7ad46076982ce6bb956936c6ab4dcfe0" +
  "5e6784586940ca544b9b2140e1eb523f009d20a7e7880e4e5bfa690f1b9004a27811cd9904af70420eefd6ea11ef7da1" +
  "29f58835ff56b89faa637bc9ac2efaab903402229f491d8d3485261cd068699b6ba58a1ddbbef6db51e8fe34e8a78e54" +
  "2d7ba351c21ea8d8f1d29f5d5d15939487e27f4416b0ca632c59efd1b1eb66511a5a0fbf615b766c5862d0bd8a3fe7a0" +
  "e0da0fb2fe1fcb19e8f9996a8ea0fccde538175238fc8b0ee6f29af7f642773ebe8cd5402415a01451a840476b2fceb0" +
  "e388d30d4b376c37fe401c2a2c2f941dad179c540c1c8ce030d460c4d983be9ab0b20f69144c1ae13f9383ea1c08504f" +
  "b0bf321503efe43488310dd8dc77ec5b8349b8bfe97c2c560ea878de87c11e3d597f1fea742d73eec7f37be43949ef1a" +
  "0d15c3f3e3fc0a8335617055ac91328ec22b50fc15b941d3d1624cd88bc25f3e941fddc6200689581bfec416b4b2cb73",
);
const Q = number("cfa0478a54717b08ce64805b76e5b14249a77a4838469df7f7dc987efccfb11d");
const G = number(
  "5e5cba992e0a680d885eb903aea78e4a45a469103d448ede3b7accc54d521e37f84a4bdd5b06b0970cc2d2bbb715f7b8" +
  "2846f9a0c393914c792e6a923e2117ab805276a975aadb5261d91673ea9aaffeecbfa6183dfcb5d3b7332aa19275afa1" +
  "f8ec0b60fb6f66cc23ae4870791d5982aad1aa9485fd8f4a60126feb2cf05db8a7f0f09b3397f3937f2e90b9e5b9c9b6" +
  "efef642bc48351c46fb171b9bfa9ef17a961ce96c7e7a7cc3d3d03dfad1078ba21da425198f07d2481622bce45969d9c" +
  "4d6063d72ab7a0f08b2f49a7cc6af335e08c4720e31476b67299e231f8bd90b39ac3ae3be0c6b6cacef8289a2e2873d5" +
  "8e51e029cafbd55e6841489ab66b5b4b9ba6e2f784660896aff387d92844ccb8b69475496de19da2e58259b090489ac8" +
  "e62363cdf82cfd8ef2a427abcd65750b506f56dde3b988567a88126b914d7828e2b63a6d7ed0747ec59e0e0a23ce7d8a" +
  "74c1d2c2a7afb6a29799620f00e11c33787f7ded3b30e1a22d09f1fbda1abbbfbf25cae05a13f812e34563f99410e73b",
);
const M = number(
  "8e901eec238cebca8ddafe871a0027e6cdfdb47cbfb5457decd71839740e319b6e2ebc41b977e9df1d50e098668fd2a9" +
  "70e94554db7113fc9e75f22679a002db945ba4ae208c29257665b5bba74978663153c54b9142381702ab6fed5b90defa" +
  "976a68dc21f1fb6d647553bbab8d34adf925e3cfc60a0cc191cadffa155101d5e2704a12d39381283da45913e1dac2f6" +
  "a9a5ea2e9a04cb3425a8f52b454568830fe48e1a30f4eff16bc76d1e65367185184d8c603f74ef10ed0f3f52330908b2" +
  "40379fc81665710088fb4754079c58bc480d00136fe8a1a959be4cc83b71e2fcbfe8e25db3dcd0f701ae2b8040fd4631" +
  "afa1ebcfd2824a86a15ee283581160ff5cf2e8a911139df30b6f0a8b9ef0ce63047dd6b28eeb23c5e566259224eeb4a3" +
  "5a89a42ea70caf37e43922cf32760d96904e046bff897c1c8c3825b8c72a8613545ce9643b2d0d2766e42d1778832730" +
  "95b457dc0b99633bcaf1f6f77db24bc8d7333cf5d37a7d3f1fcca1cdbae0db552d087b095e2816adfd18ffb767478c66",
);
const N = number(
  "4568a7fa9f46cc9757dddb3faa603517325b3deb5610e6869a5e44095149af866221137aae37bd138b0bc050c4f0c41f" +
  "9f5916ddce069ab485198eed3d3e5d7e42184f3a23b66aa96722e1f39bcef60558885ba0843cd18bdea4f6bd28d4dd6e" +
  "d9299df7e5ac1546d4195471160255052af39999002a61410eebc2bd0d56d2bfc3315bc78ba453a7bafed9f5361914b2" +
  "39533a80f1114789f690c06f89879760aaa318912e06aae45ffc7408d5f0c3bb4703d2e42c45b1e79a7484fac1cdba3c" +
  "06eb7a7a703169ab50164a6e19d667d1a2756639fd3cd5cdd752a8a309eaa509dadaacc7430a017d3ac743f28455b840" +
  "e4e28373678a7914813ffdc41366defbf3fe67509cedef4da9753aa6c9b6658614c3817a96fe3653c49fde5593c51d82" +
  "f01f88be98b7734f7fb42d4b5e19752c2ca37725540a6508597bfd0081d7aae14854e3ed1d4812d9deb28a20cc75e750" +
  "36ba33a2671de1b77daffcda120ddd11a5bc1c05be1c5892a5643737ec6545b80c1f037be4512668bf329612a98fefb1",
);
const ELEMENT_BYTES = 384;
const SCALAR_BYTES = 32;
const BEGINS = 0x41;
const ANSWERS = 0x42;
const encoder = new TextEncoder();

function power(base, exponent) {
  let result = 1n;
  let square = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

function toNumber(bytes) {
  return number([...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
}

function toBytes(value, size) {
  const hex = value.toString(16).padStart(2 * size, "0");
  return Uint8Array.from({ length: size }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

async function scalarOf(password) {
  const key = await crypto.subtle.importKey("raw", password, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode("SPAKE2 pw") };
  return toNumber(new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 8 * (SCALAR_BYTES + 16)))) % Q;
}

/** Begins with a password and both names; returns the message to send and what finishes with the answer. */
export async function begin(password, ours, theirs) {
  const secret = toNumber(crypto.getRandomValues(new Uint8Array(SCALAR_BYTES + 16))) % Q;
  const scalar = await scalarOf(password);
  const sent = toBytes((power(G, secret) * power(M, scalar)) % P, ELEMENT_BYTES);
  const finish = async (message) => {
    const heard = message.slice(1);
    const element = toNumber(heard);
    const isElement = element > 0n && element < P && power(element, Q) === 1n;
    if (message[0] !== ANSWERS || heard.length !== ELEMENT_BYTES || !isElement) throw new Error("not a SPAKE2 answer");
    const shared = power(element * power(N, Q - scalar), secret);
    const parts = [await sha256(password), await sha256(ours), await sha256(theirs), sent, heard, toBytes(shared, ELEMENT_BYTES)];
    return sha256(join(parts));
  };
  return { message: join([Uint8Array.of(BEGINS), sent]), finish };
}

/** Puts arrays of bytes together. */
export function join(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
