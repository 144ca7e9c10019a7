#!/usr/bin/env python3
"""Makes speakers with espeak-ng and flite: those the model of sample rates is fitted to, and those it is tested with.

Usage: make_voices.py DIR

No speaker, language or sentence by espeak-ng is in both halves. Speakers to fit to are variants made up here, with a
vocal tract and a pitch as of men, women and children, and every other one of the variants that espeak-ng brings; the
rest of those are for tests. Of flite's voices from people, two are for each. Files are named VARIANT_LANGUAGE.wav.
"""

import math
import os
import random
import shutil
import subprocess
import sys


TRAIN_TEXTS = {
'de':['Guten Tag, hier spricht die Buchhaltung, ich rufe wegen Ihrer Rechnung vom letzten Monat an.','Der Zug nach Hamburg fährt heute leider erst zwanzig Minuten später ab.'],
'es':['Buenos días, quería preguntar si todavía tienen una mesa libre para esta noche.','El paquete llegó ayer por la tarde pero faltaba una de las cajas pequeñas.'],
'fr':['Bonjour, je voudrais changer la date de mon rendez-vous chez le dentiste.','Il a plu toute la nuit et la rivière est montée jusque sous le pont.'],
'ru':['Добрый день, подскажите пожалуйста, когда приедет курьер с моим заказом.','Вчера вечером мы долго гуляли по набережной и смотрели на корабли.'],
'pl':['Dzień dobry, chciałbym zapytać o godziny otwarcia waszego sklepu w sobotę.','Wczoraj wieczorem padał śnieg i wszystkie drogi były zupełnie białe.'],
'hi':['नमस्ते, मैं अपने खाते के बारे में जानकारी लेना चाहता हूँ।','कल शाम को हम सब बाज़ार गए और बहुत सारे फल खरीदे।'],
'tr':['İyi günler, yarın sabah için bir taksi çağırmak istiyorum lütfen.','Çocuklar bahçede oynarken birden yağmur yağmaya başladı ve eve koştular.'],
'sv':['God morgon, jag skulle vilja boka om min tid till nästa vecka.','Vi åkte båt hela dagen och kom hem först när solen hade gått ner.'],
'hu':['Jó napot kívánok, szeretnék érdeklődni a holnapi vonatok felől.','Tegnap este sokáig beszélgettünk a konyhában és teát ittunk.'],
'el':['Καλημέρα σας, θα ήθελα να μάθω πότε ανοίγει το κατάστημα.','Χθες το βράδυ περπατήσαμε πολλή ώρα δίπλα στη θάλασσα.'],
'ro':['Bună ziua, aș dori să rezerv o cameră pentru două nopți în iunie.','Am mers cu trenul până la munte și apoi am urcat pe jos.'],
'cmn':['你好，我想问一下明天早上的火车几点出发。','昨天晚上我们在河边走了很久，看到了很多船。'],
'vi':['Xin chào, tôi muốn hỏi về đơn hàng của tôi từ tuần trước.','Hôm qua trời mưa rất to nên chúng tôi ở nhà cả ngày.'],
'en-gb':['Hello, I am calling about the parcel that should have arrived on Thursday morning.','We walked along the river for an hour and then had lunch in a small village.'],
'en-gb-scotland':['Could you tell me how much it costs to send this box to Norway?','The old clock in the hall has been wrong ever since the winter.'],
'ja':['おはようございます、あしたのよやくをかくにんしたいのですが。','きのうのよるはともだちといっしょにえいがをみました。'],
'sw':['Habari za asubuhi, ningependa kujua bei ya chumba kwa usiku mmoja.','Jana jioni tulitembea kando ya bahari na kuona mashua nyingi.'],
'bg':['Добър ден, искам да попитам кога ще пристигне моята поръчка.','Вчера вечерта валя силен дъжд и улиците бяха празни.'],
}
TEST_TEXTS = {
'en-us':['The delivery van stopped at the harbour at seven and nobody was there to meet it.','Please hold the line while I check your order, this will only take a moment.','Your balance is forty two dollars and is due on the ninth of March.'],
'it':['Buongiorno, vorrei sapere se il mio ordine è già partito dal magazzino.','Ieri sera abbiamo mangiato la pizza e poi siamo andati a passeggiare.'],
'pt-br':['Bom dia, eu gostaria de confirmar a minha consulta de amanhã à tarde.','O ônibus demorou muito e chegamos atrasados ao teatro.'],
'nl':['Goedemiddag, ik wil graag weten wanneer mijn pakket wordt bezorgd.','We hebben gisteren de hele dag in de tuin gewerkt.'],
'cs':['Dobrý den, chtěl bych se zeptat na cenu jízdenky do Prahy.','Včera večer jsme seděli u řeky a povídali si o práci.'],
'fi':['Hyvää päivää, haluaisin varata ajan ensi viikon tiistaille.','Eilen illalla kävelimme pitkään järven rannalla ja katselimme lintuja.'],
'id':['Selamat pagi, saya ingin menanyakan jadwal kereta ke Surabaya.','Kemarin sore kami berjalan di pantai dan melihat banyak perahu.'],
'ar':['صباح الخير، أريد أن أسأل عن موعد وصول الطرد.','مشينا أمس طويلا على شاطئ البحر ورأينا القوارب.'],
'da':['Goddag, jeg vil gerne høre hvornår min pakke bliver leveret.','I går aftes gik vi en lang tur ved havnen.'],
'ta':['வணக்கம், என் கணக்கைப் பற்றி தெரிந்துகொள்ள விரும்புகிறேன்.','நேற்று மாலை நாங்கள் கடற்கரையில் நீண்ட நேரம் நடந்தோம்.'],
}

VARIANTS = """
Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen
adam anika antonio belinda benjamin boris caleb david ed edward edward2 f1 f2 f5 f3 grandpa f4 iven grandma
iven3 gustave john iven2 klatt iven4 klatt3 kaukovalta linda klatt2 m2 klatt4 m4 m1 m6 m3 m8 m5 max m7 miguel
marcelo pablo michel pedro norbert rob paul sandro quincy steph robert steph3 shelby victor steph2
""".split()

FLITE_TEXTS = TRAIN_TEXTS["en-gb"] + TRAIN_TEXTS["en-gb-scotland"] + TEST_TEXTS["en-us"] + [
    "I would like to speak to somebody in the billing department please.",
    "My number is five five five, zero one seven eight, and I am at home until noon.",
    "Thank you for waiting, the next free agent will answer your call.",
    "We expect light rain in the morning and a strong wind from the west.",
    "Nine years later the house was sold to a young couple from the north.",
]


def variant(dice, folder, name, wide):
    """Writes a variant: a tract and a pitch that go together, give or take `wide` times what people differ by."""
    kind = dice.choices("mfc", [0.47, 0.45, 0.08])[0]
    tract, spread, pitch, pitches = {
        "m": (1.0, 0.05, 112, 0.19), "f": (1.16, 0.05, 200, 0.16), "c": (1.32, 0.06, 255, 0.13)
    }[kind]
    tract *= math.exp(dice.gauss(0, spread * wide))
    pitch *= math.exp(dice.gauss(0, pitches))
    reach = math.sqrt(1 + abs(dice.gauss(0.45, 0.2)))
    lines = ["language variant", f"name {name}", f"pitch {pitch / reach:.0f} {pitch * reach:.0f}"]
    lines.append("formant 0 100 100 100")
    for formant in range(1, 9):
        scale = 100 * tract * math.exp(dice.gauss(0, 0.025 * wide))
        lines.append(f"formant {formant} {scale:.0f} {dice.randint(75, 110)} {dice.randint(85, 170)}")
    lines.append(f"consonants {dice.randint(70, 125)} {dice.randint(80, 125)}")
    lines.append(f"flutter {dice.randint(0, 6)}")
    lines.append(f"roughness {dice.randint(0, 3)}")
    if dice.random() < 0.3:
        lines.append("breath 0 %d %d %d %d 2 2 2" % tuple(dice.randint(0, 5) for _ in range(4)))
    lines.append("tone 600 %d 1200 %d 2000 %d 3000 %d" % (
        dice.randint(140, 220), dice.randint(90, 170), dice.randint(60, 150), dice.randint(60, 150)))
    if wide > 1.2 and dice.random() < 0.2:
        lines.append(f"klatt {dice.randint(1, 5)}")
    if wide > 1.2 and dice.random() < 0.2:
        lines.append(f"echo {dice.randint(20, 200)} {dice.randint(5, 40)}")
    if wide > 1.2 and dice.random() < 0.3:
        lines.append(f"voicing {dice.randint(60, 160)}")
    with open(os.path.join(folder, name), "w") as file:
        file.write("\n".join(lines) + "\n")


def espeak(dice, file, language, name, words_a_minute, text, data=None):
    voice = f"{language}+{name}" if name else language
    command = ["espeak-ng", "-v", voice, "-s", str(int(dice.gauss(*words_a_minute))), "-w", file, text]
    subprocess.run(command[:1] + ([f"--path={data}"] if data else []) + command[1:], check=True)


def main(folder):
    data = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True)
    data = data.stdout.split("Data at:")[1].strip()
    train, test = (os.path.join(folder, half, "espeak") for half in ("train", "test"))
    for half in (train, test, os.path.join(folder, "train", "flite"), os.path.join(folder, "test", "flite")):
        os.makedirs(half, exist_ok=True)
    for turn, (letter, wide) in enumerate([("a", 1), ("b", 1.5), ("c", 1.3)]):
        dice = random.Random(turn + 1)
        # espeak-ng holds 349 voices at once: the made-up variants stand in for those it brings.
        own = os.path.join(folder, "data")
        copied = os.path.join(own, "espeak-ng-data")
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(data, copied)
        variants = os.path.join(copied, "voices", "!v")
        shutil.rmtree(variants)
        shutil.rmtree(os.path.join(copied, "voices", "mb"), ignore_errors=True)
        os.mkdir(variants)
        for number in range(190):
            name = f"{letter}{number}"
            variant(dice, variants, name, wide)
            for language in dice.sample(list(TRAIN_TEXTS), 4):
                text = dice.choice(TRAIN_TEXTS[language])
                espeak(dice, f"{train}/{name}_{language}.wav", language, name, (158, 20), text, own)
    dice = random.Random(4)
    for place, name in enumerate(VARIANTS):
        half, texts, takes = (train, TRAIN_TEXTS, 8) if place % 2 else (test, TEST_TEXTS, 5)
        for language in dice.sample(list(texts), takes):
            text = dice.choice(texts[language])
            espeak(dice, f"{half}/{name}_{language}.wav", language, name, (160, 18), text)
    for language, texts in TEST_TEXTS.items():
        for place, text in enumerate(texts):
            espeak(dice, f"{test}/plain{place}_{language}.wav", language, None, (160, 16), text)
    for half, voices in (("train", ["kal16", "rms"]), ("test", ["awb", "slt"])):
        for voice in voices:
            for place, text in enumerate(FLITE_TEXTS):
                stretch = ["0.85", "1", "1.1", "1.25"][place % 4]
                file = os.path.join(folder, half, "flite", f"{voice}_{place}.wav")
                command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-t", text, "-o", file]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
