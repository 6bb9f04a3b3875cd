/** Words that are guessed first, with and without digits and marks behind them. */
const words = new Set(
  `
  abcdabcd abcdefgh abcdefghi abcdefghij access administrator amanda andrew anthony arsenal asdfghjk asdfghjkl ashley autumn
  azerty babygirl barcelona baseball basketball batman blessed buster butterfly camera changeme charlie chelsea chocolate
  computer contrasena cookie corvette daniel danielle darkroom default dolphin dragon eagle elephant elizabeth eminem
  facebook falcon family ferrari flower football football1 forever freedom friends ginger golfer goodbye google harley hello
  hockey hunter iloveyou instagram internet iphone jennifer jessica jesuschrist jordan joshua killer letmein linkedin
  liverpool login lovely maggie manchester master matrix matthew mercedes metallica michael monkey motdepasse mustang
  nicholas nicole nirvana panther parola password passwort pepper phoenix photo picture pokemon porsche princess qwerty
  qwertyui qwertyuiop qwertz qwertzuiop rainbow realmadrid robert samantha samsung secret secure senha shadow slipknot
  snoopy soccer spiderman spring starwars stephanie summer sunshine superman sweetheart tennis thomas tiger tigger trustno
  twitter unicorn wachtwoord welcome whatever william winter youtube zxcvbnm zxcvbnm1
`
    .trim()
    .split(/\s+/),
)

/** Rows of keys, counts and spellings that are guessed first. */
const exact = new Set(
  `
  00000000 000000000 0000000000 01234567 012345678 0123456789 0987654321 11111111 111111111 1111111111 11223344 1122334455
  112233445566 123123123 123321123 12341234 123454321 1234554321 12345678 123456789 1234567890 12345678910 123456abc
  123456qwe 1234qwer 123abc123 123qwe123 123qweasd 147258369 147852369 159357456 1a2b3c4d 1password 1q2w3e4r 1q2w3e4r5t
  1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 22222222 27182818 31415926 33333333 44444444 55555555 66666666 741852963 77777777
  789456123 87654321 88888888 963852741 987654321 9876543210 99999999 a1234567 a12345678 a123456789 aa123456 aa12345678
  aaaaaaaa abc12345 abc123456 abcd1234 abcd12345 admin123 admin1234 admin12345 administrator1 america1 arsenal1 asdasdasd
  asdf1234 asdfasdf autumn2025 autumn2026 azerty123 bbbbbbbb berlin123 blink182 chelsea1 computer1 correcthorse
  correcthorsebatterystaple demo1234 fuckyou1 fuckyou123 fuckyou2 guest123 ihateyou iloveyou1 iloveyou2 letmein123
  letmeinnow liverpool1 london123 loveyou123 mypassword newpassword nopassword oldpassword opensesame p4ssw0rd p@ssw0rd
  p@ssword pa$$word pa55word paris123 passw0rd passw0rd1 password! password. q1234567 q1w2e3r4 q1w2e3r4t5 qazwsx123
  qazwsxedc qweasdzxc qweqweqwe qwer1234 qwerty12 qwerty123 qwerty1234 qwerty12345 qwertz123 root1234 somethingelse
  spring2025 spring2026 startrek starwars1 summer2024 summer2025 summer2026 superman1 temp1234 test1234 test12345 testing123
  testtest thepassword toor1234 trustno1 user1234 welcome1 welcome123 winter2024 winter2025 winter2026 xxxxxxxx yourpassword
  zaq12wsx zaq1zaq1 zxcv1234 zxczxczxc zzzzzzzz
`
    .trim()
    .split(/\s+/),
)

/** Whether a password is among those that everybody tries, however it is capitalised; also a word with a few digits behind it, once or twice. */
export function isCommonPassword(password: string): boolean {
  const text = password.toLowerCase()
  const stem = text.replace(/[\d!?.@#$*_-]{0,4}$/, '')
  const half = stem.slice(0, stem.length / 2)
  return (
    exact.has(text) ||
    words.has(text) ||
    words.has(stem) ||
    (half.repeat(2) === stem && words.has(half)) ||
    /^(.)\1+$/u.test(text)
  )
}
